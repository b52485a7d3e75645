"""Durations and due times in words."""

from datetime import datetime, timedelta


def span_in_words(span: timedelta) -> str:
    """Return `3 d`, `26 h`, `90 min` or `5 s`: the largest unit of which there are at least two."""
    seconds = max(0, round(span.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def next_sweep_in_words(at: datetime | None, now: datetime) -> str:
    """Return `next sweep due 2026-11-30 11:08 UTC`, or `… with the next run` if it is due.

    All commands and the log use these words.
    """
    if at is None or at <= now:
        return "next sweep due with the next run"
    return f"next sweep due {at:%Y-%m-%d %H:%M} UTC"
