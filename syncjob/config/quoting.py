"""Strips quotation marks and blanks around a setting's text, and finds broken ones.

`docker --env-file` and many units pass on the text after the `=` with its quotation marks; web
pages and chats turn them into typographic ones.
"""

DOUBLE = '"\u201c\u201d\u201e\u201f\uff02\u300c\u300d\u300e\u300f\u00ab\u00bb'
SINGLE = "'`\u2018\u2019\u201a\u201b\uff07"
BLANKS = " \t\r\n\v\f\u00a0\u3000\u200b\ufeff"


def stripped(text: str) -> str:
    """Return the text without surrounding blanks, including invisible ones."""
    return text.strip().strip(BLANKS)


def unquoted(text: str) -> str:
    """Return the text without surrounding blanks and pairs of quotation marks."""
    text = stripped(text)
    while len(text) > 1 and _is_pair(text):
        text = stripped(text[1:-1])
    return text


def fault_of(text: str) -> str | None:
    """Return what makes a text invalid for any setting, to follow its name; None: nothing."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "holds bytes that are not UTF-8; type it again"
    if "\0" in text:
        return "holds a NUL character; type it again"
    return None


def quoting_fault_of(text: str) -> str | None:
    """Return the fault of a quotation mark at one end only; None if there is none."""
    if not text:
        return None
    first, last = text[0] in DOUBLE + SINGLE, text[-1] in DOUBLE + SINGLE
    # A URL may end with a quoted word: search_path="Mine".
    if first or (last and text.count(text[-1]) % 2):
        return "has a quotation mark at one end only; take it out"
    return None


def oddity_of(text: str) -> str:
    """Return a hint for a refused text with characters that only look like ASCII."""
    return "" if text.isascii() else " (not all of it is ASCII: full-width characters?)"


def _is_pair(text: str) -> bool:
    return any(text[0] in marks and text[-1] in marks for marks in (DOUBLE, SINGLE))
