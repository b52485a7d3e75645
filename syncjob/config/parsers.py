"""Parsers of settings' texts: each function is one, or returns one.

They raise ValueError with what is expected, or SettingsError with the whole message, which does not
quote the text where it may be a secret.
"""

import ipaddress
import re
import shlex
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from syncjob.config.quoting import oddity_of
from syncjob.config.secrets import Secret
from syncjob.errors import SettingsError
from syncjob.model.sweeps import Allowance

WECHAT = "https://api.weixin.qq.com"
# Of the examples in deploy/ and the documentation; no account has it.
EXAMPLE_APPID = "wx0123456789abcdef"
# Placeholders of other documentation: wxYOURAPPID, APPID, wxxxxxxxxxxxxxxxxx.
PLACEHOLDER = re.compile(r"(wx[_-]?)?your[_-]?app[_-]?id|app[_-]?id|wxx{3,}", re.IGNORECASE)
DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg", "sqlite")

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
    """Parse `auto` (None), or a duration."""
    if value == "auto":
        return None
    try:
        return timedelta(seconds=seconds(value))
    except (ValueError, OverflowError):
        raise ValueError("auto, 0 (every run), or a time such as 30m, 6h or 1d") from None


def timeout(value: str) -> float:
    """Parse a duration of at most ten minutes; return seconds."""
    try:
        found = seconds(value)
    except ValueError:
        found = 0
    if not 0 < found <= 600:
        raise ValueError("a time of at most 10m, such as 30s")
    return found


def patience(value: str) -> float:
    """Parse a duration of at most two minutes; return seconds.

    After three minutes without a heartbeat a run counts as dead.
    """
    try:
        found = seconds(value)
    except ValueError:
        found = -1
    if not 0 <= found <= 120:
        raise ValueError("a time of at most 2m, such as 60s")
    return found


def max_age(value: str) -> timedelta:
    """Parse a duration that is not zero."""
    try:
        found = timedelta(seconds=seconds(value))
    except (ValueError, OverflowError):
        found = timedelta()
    if not found:
        raise ValueError("a time such as 12h or 1d")
    return found


def refresh_after(value: str) -> timedelta | None:
    """Parse `off` (None), or a duration."""
    try:
        if value.isdigit():  # refused: 30 seconds are hardly what was meant
            raise ValueError(value)
        return None if value == "off" else max_age(value)
    except ValueError:
        raise ValueError("off, or a time such as 30d") from None


def keep_runs(value: str) -> timedelta | None:
    """Parse `off` (None), or a duration."""
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
    """Parse `100,5%` (exceeded by what is more than both), `100` or `5%`."""
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
    """Tell whether the URL is one that requests can send to; nothing is sent."""
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


def one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    """Return a parser of one of these words."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return parse


def appid(value: str) -> str:
    """Parse an AppID; WeChat has promised no form of it."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise SettingsError(
            f"SYNCJOB_APPID is {value!r}{oddity_of(value)}; expected an AppID such as "
            f"{EXAMPLE_APPID}"
        )
    if value.lower() == EXAMPLE_APPID or PLACEHOLDER.fullmatch(value):
        raise SettingsError(
            f"SYNCJOB_APPID is {value!r}, the placeholder of an example; expected the AppID "
            "of your account"
        )
    return value


def credential(name: str, meaning: str) -> Callable[[str], Secret]:
    """Return a parser of an AppSecret or a token, in which neither blanks nor non-ASCII occur."""

    def parse(value: str) -> Secret:
        if " " in value:
            raise SettingsError(f"{name} holds a blank inside; expected {meaning} and nothing else")
        if not value.isascii():
            raise SettingsError(
                f"{name} holds characters that are not ASCII (full-width ones, typographic "
                f"quotation marks?); expected {meaning}"
            )
        return Secret(value)

    return parse


def database_url(value: str) -> Secret:
    """Parse the URL of a database; only the scheme is checked here."""
    scheme, found, _ = value.partition("://")
    if not found or scheme not in DATABASE_SCHEMES:
        is_scheme = found and re.fullmatch(r"(jdbc:)?[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme)
        kind = f"a {scheme!r} URL" if is_scheme else "no URL"
        names_driver = is_scheme and re.search("[+:]", scheme)
        hint = " (the drivers come with syncjob)" if names_driver else ""
        raise SettingsError(
            f"SYNCJOB_DATABASE_URL is {kind}; expected postgresql://user@host/database "
            f"or sqlite:////path/to/file.db{hint}"
        )
    return Secret(value)


def http_address(name: str, meaning: str) -> Callable[[str], Secret]:
    """Return a parser of an address that may carry a key in its path or query."""

    def parse(value: str) -> Secret:
        if not is_http_url(value):
            raise SettingsError(f"{name} is no http(s) address; expected {meaning}")
        return Secret(value)

    return parse


def api_url(value: str) -> str:
    """Parse the address that the paths of the API are put behind."""
    if not is_http_url(value) or "?" in value or "#" in value:
        # The text after ? or #, or before an @, may be a password.
        found = "an address with ? or # or @" if re.search("[@?#]", value) else repr(value)
        raise SettingsError(f"SYNCJOB_API_URL is {found}; expected an address such as {WECHAT}")
    return value.rstrip("/")


def command(name: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of a command, which is split as a shell would."""

    def parse(value: str) -> tuple[str, ...]:
        try:
            words = tuple(shlex.split(value))
            # The whole command in quotation marks, as `docker --env-file` leaves them.
            if len(words) == 1 and " " in words[0] and shutil.which(words[0]) is None:
                words = tuple(shlex.split(words[0]))
            return words
        except ValueError as error:
            raise SettingsError(
                f"{name} cannot be split into words ({error}); quote it as for a shell"
            ) from None

    return parse


def metrics_file(value: str) -> Path:
    """Parse a path that ends with .prom: the collector passes over every other name."""
    if not value.endswith(".prom"):
        raise ValueError(
            "a path that ends with .prom, such as /var/lib/prometheus/node-exporter/syncjob.prom"
        )
    return Path(value)
