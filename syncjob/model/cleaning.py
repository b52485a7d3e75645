"""Cleaning of single values of WeChat's JSON: a value of the wrong type counts as absent."""

from math import isfinite
from typing import Any

SMALLINT = range(-(2**15), 2**15)
BIGINT = range(-(2**63), 2**63)
INSTANT = range(1, 253402300800)  # unix seconds until the year 9999; 0 means none

DEEPEST = 100  # levels of nesting that are kept


def is_clean(text: str) -> bool:
    """Return whether a database can store the text: without NUL and lone surrogates."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def text(value: object) -> str | None:
    """Return the text without NUL and lone surrogates, None if it is no text."""
    if not isinstance(value, str):
        return None
    if "\0" in value:
        value = value.replace("\0", "")
    if value.isascii():
        return value
    return value.encode("utf-8", "ignore").decode("utf-8")


def cleaned(value: Any, levels: int = DEEPEST) -> Any:
    """Clean every text in a JSON value; replace what is nested deeper than `levels` by None."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict | list) and not levels:
        return None
    if isinstance(value, dict):
        return {text(name): cleaned(inner, levels - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [cleaned(inner, levels - 1) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def integer(value: object, *, within: range = BIGINT, default: Any = None) -> Any:
    """Read a whole number of any JSON type; return `default` for anything else or out of range.

    Some endpoints send numbers as strings. Gateways rewrite 1 and 0 as true and false, 1.0, "1.0"
    or "true".
    """
    if type(value) is not int:
        try:
            value = _whole(value)
        except (ValueError, OverflowError):
            return default
    return value if value in within else default


def _whole(value: object) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("true", "false"):
            return int(text == "true")
        try:
            return int(text)
        except ValueError:
            value = float(text)
    if not isinstance(value, float) or not value.is_integer():
        raise ValueError
    return int(value)


def integers(value: object) -> list[int] | None:
    """Return the whole numbers in a list, without the other entries."""
    if not isinstance(value, list):
        return None
    return [number for number in map(integer, value) if number is not None]
