"""The forms that settings have: each function reads one.

Raises ValueError, whose text is what is expected.
"""

import ipaddress
import re
from datetime import timedelta
from urllib.parse import urlsplit

from syncjob.model import Allowance

COUNT = re.compile(r"[0-9]{1,9}")
PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?", re.ASCII)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
HOST_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*\.?")


def batch_size(value: str) -> int:
    """Parse `1` to `100`."""
    if not re.fullmatch(r"[1-9][0-9]?|100", value):
        raise ValueError("a whole number from 1 to 100")
    return int(value)


def concurrency(value: str) -> int:
    """Parse `1` to `64`."""
    if not re.fullmatch(r"[1-9]|[1-5][0-9]|6[0-4]", value):
        raise ValueError("a whole number from 1 to 64")
    return int(value)


def seconds(value: str) -> float:
    """Parse `90`, `90s`, `30m`, `6h` or `1d`."""
    match = DURATION.fullmatch(value)
    if not match:
        raise ValueError(value)
    return float(match[1]) * SECONDS[match[2] or "s"]


def sweep_every(value: str) -> timedelta | None:
    """Parse `auto` (None), or a time."""
    if value == "auto":
        return None
    try:
        return timedelta(seconds=seconds(value))
    except (ValueError, OverflowError):
        raise ValueError("auto, 0 (every run), or a time such as 30m, 6h or 1d") from None


def timeout(value: str) -> float:
    """Parse a time of at most ten minutes, in seconds."""
    try:
        found = seconds(value)
    except ValueError:
        found = 0
    if not 0 < found <= 600:
        raise ValueError("a time of at most 10m, such as 30s")
    return found


def max_age(value: str) -> timedelta:
    """Parse a time that is not zero."""
    try:
        found = timedelta(seconds=seconds(value))
    except (ValueError, OverflowError):
        found = timedelta()
    if not found:
        raise ValueError("a time such as 12h or 1d")
    return found


def refresh_after(value: str) -> timedelta | None:
    """Parse `off` (None), or a time."""
    try:
        if value.isdigit():  # "30" was meant as days
            raise ValueError(value)
        return None if value == "off" else max_age(value)
    except ValueError:
        raise ValueError("off, or a time such as 30d") from None


def keep_runs(value: str) -> timedelta | None:
    """Parse `off` (None), or a time."""
    try:
        return refresh_after(value)
    except ValueError:
        raise ValueError("off, or a time such as 400d") from None


def count(value: str) -> int:
    """Parse a whole number from 1."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise ValueError("a whole number from 1")
    return int(value)


def allowance(value: str) -> Allowance:
    """Parse `100,5%` (what is more than both exceeds it), `100` or `5%`."""
    parts = [part.strip() for part in value.split(",")]
    counts = [int(part) for part in parts if COUNT.fullmatch(part)]
    shares = [float(match[1]) / 100 for part in parts if (match := PERCENTAGE.fullmatch(part))]
    if len(counts) + len(shares) != len(parts) or len(counts) > 1 or len(shares) > 1:
        raise ValueError("a number, a percentage, or both, such as 100,5%")
    if shares and shares[0] > 1:
        raise ValueError("a percentage of at most 100%")
    return Allowance(counts[0] if counts else 0, shares[0] if shares else 0.0)


def share(value: str) -> float | None:
    """Parse `20%`, or `off` (None)."""
    match = PERCENTAGE.fullmatch(value)
    if value == "off":
        return None
    if value == "0":
        return 0.0
    if not match or float(match[1]) > 90:
        raise ValueError("a percentage of at most 90%, such as 20%, or off")
    return float(match[1]) / 100


def count_or_off(value: str) -> int:
    """Parse a whole number from 1, or `off` (0)."""
    try:
        return 0 if value in ("off", "0") else count(value)
    except ValueError:
        raise ValueError("a whole number from 1, or off") from None


def is_http_url(url: str) -> bool:
    """Tell whether a request can be sent there, as far as that can be told without sending one."""
    if not url.isprintable() or re.search(r"[ \\]", url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif not HOST_NAME.fullmatch(host) or not host.encode("idna"):
            return False
        return parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return False
