"""Secrets: values without a repr, files that only the job may read, texts that hold one."""

import os
import stat
from pathlib import Path

from syncjob.errors import SettingsError

LONGEST_SECRET = 65_536  # bytes
AS_THE_JOB = "run this as the job's user (as root: runuser -u syncjob -- syncjob …)"


class Secret:
    """A value whose repr hides it; `reveal` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def any_text(text: str) -> bool:
    """Tell whether there is any text: all of it is the secret."""
    return bool(text.strip())


def cannot_tell(text: str) -> bool:
    """Tell that no secret is seen in the text, though one may be there: a command's argument."""
    return False


def has_password(url: str) -> bool:
    """Tell whether a password stands in the URL, before its host or among its options."""
    user, at, _ = url.partition("://")[2].partition("@")
    in_front = bool(at) and ":" in user and not user.startswith("/")  # a path of SQLite's
    return in_front or "password=" in url


def has_key(url: str) -> bool:
    """Tell whether a password or a query, which often is a key, stands in the URL."""
    return has_password(url) or "?" in url


def is_public(status: os.stat_result) -> bool:
    """Tell whether every user of this machine can read the file."""
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IROTH)


def unreadable(error: OSError) -> str:
    """Return why a file cannot be read, with the cure if permissions are the reason."""
    reason = error.strerror or type(error).__name__
    if not isinstance(error, PermissionError):
        return reason
    return f"{reason}; {AS_THE_JOB}, or let that user read it: chgrp syncjob and chmod 640"


def read_secret_file(name: str, path: str) -> str:
    """Return the content of the file, without surrounding blanks; `name` is the setting it is from.

    Raises SettingsError if it cannot be read, is world-readable, empty, or far longer than a
    secret.
    """
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(LONGEST_SECRET + 1)
        value = content.decode("utf-8-sig").strip()
    except OSError as error:
        reason = unreadable(error)
        raise SettingsError(f"{name} names {path!r}, which cannot be read: {reason}") from None
    except ValueError:
        raise SettingsError(
            f"{name} names {path!r}, which cannot be read: it is not UTF-8 text"
        ) from None
    if is_public(status):
        raise SettingsError(
            f"{name} names {path!r}, which everybody on this machine can read; run: chmod o= {path}"
        )
    if len(content) > LONGEST_SECRET:
        raise SettingsError(f"{name} names {path!r}, which is too long to be a secret")
    if not value:
        raise SettingsError(f"{name} names {path!r}, which is empty")
    return value
