"""How long something took, or is ago, in words."""

from datetime import timedelta


def span_in_words(span: timedelta) -> str:
    """Return `3 d`, `26 h`, `90 min` or `5 s`: the largest unit that it has two of."""
    seconds = max(0, round(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
