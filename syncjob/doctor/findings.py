"""The findings of the doctor: one line each, with a level and a cure."""

import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from syncjob.errors import ExitCode, SyncjobError

RUN = re.compile(r" \((run: [^)]+)\)$")


class Level(IntEnum):
    """How bad a finding is. Only a FAULT makes a run fail."""

    OK = 0
    NOTE = 1  # good to know
    UNCHECKED = 2  # could not be checked, for a reason that another finding gives
    WARNING = 3  # works now, but may fail later
    FAULT = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `check` is a stable name of what was checked; `cure` is empty if none is needed.

    No text holds a secret, a token or an OpenID.
    """

    check: str
    level: Level
    what: str
    cure: str = ""


def ok(check: str, what: str) -> Finding:
    """Make a finding that nothing is wrong."""
    return Finding(check, Level.OK, what)


def note(check: str, what: str, cure: str = "") -> Finding:
    """Make a finding that is no problem but good to know."""
    return Finding(check, Level.NOTE, what, cure)


def unchecked(check: str, why: str) -> Finding:
    """Make a finding that something was not checked."""
    return Finding(check, Level.UNCHECKED, f"not looked at: {why}")


def warning(check: str, what: str, cure: str) -> Finding:
    """Make a finding that may make later runs fail."""
    return Finding(check, Level.WARNING, what, cure)


def fault(check: str, what: str, cure: str) -> Finding:
    """Make a finding that makes every run fail until it is fixed."""
    return Finding(check, Level.FAULT, what, cure)


def guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a check; if it raises, yield a fault that says so.

    So the doctor never ends with an internal error.
    """
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - the other checks go on
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        yield fault(
            check,
            f"the check itself failed: {type(error).__name__} at {place}",
            "please report it, with what -vv shows",
        )


def from_error(check: str, error: SyncjobError) -> Finding:
    """Make a finding of an error: a warning if it passes by itself, else a fault."""
    what, _, cure = str(error).partition("\n")
    if not cure:
        what, _, cure = what.partition("; ")
    if in_brackets := RUN.search(what):
        what, cure = what[: in_brackets.start()], in_brackets[1]
    if error.exit_code == ExitCode.TRY_AGAIN_LATER:
        return warning(check, what, cure or "nothing: a later run goes on")
    return fault(check, what, cure or "look it up in docs/what-went-wrong.md")
