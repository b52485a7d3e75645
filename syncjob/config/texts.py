"""How a setting's text arrives: in quotation marks that a file of variables has kept, or broken.

`docker --env-file` and many a unit hand over what stands behind the `=` as it is, quotation marks
included; a page or a chat has made typographic ones of them.
"""

DOUBLE = '"\u201c\u201d\u201e\u201f\uff02\u300c\u300d\u300e\u300f\u00ab\u00bb'
SINGLE = "'`\u2018\u2019\u201a\u201b\uff07"
BLANKS = " \t\r\n\v\f\u00a0\u3000\u200b\ufeff"


def stripped(text: str) -> str:
    """Return the text without the blanks around it, those that cannot be seen among them."""
    return text.strip().strip(BLANKS)


def unquoted(text: str) -> str:
    """Return the text without the blanks and the pairs of quotation marks around it."""
    text = stripped(text)
    while len(text) > 1 and _is_pair(text):
        text = stripped(text[1:-1])
    return text


def fault_of(text: str) -> str | None:
    """Say what makes a text unfit for every setting, in words that go behind its name; or None."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "holds bytes that are not UTF-8; type it again"
    if "\0" in text:
        return "holds a NUL character; type it again"
    return None


def quoting_fault_of(text: str) -> str | None:
    """Say that a quotation mark stands at one end only; or None."""
    if not text:
        return None
    first, last = text[0] in DOUBLE + SINGLE, text[-1] in DOUBLE + SINGLE
    # At the end of an address a whole word may stand in quotation marks: search_path="Mine".
    if first or (last and text.count(text[-1]) % 2):
        return "has a quotation mark at one end only; take it out"
    return None


def oddity_of(text: str) -> str:
    """Name what cannot be seen in a text that was refused: characters that only look like ASCII."""
    return "" if text.isascii() else " (not all of it is ASCII: full-width characters?)"


def _is_pair(text: str) -> bool:
    return any(text[0] in marks and text[-1] in marks for marks in (DOUBLE, SINGLE))
