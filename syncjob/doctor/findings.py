"""What an examination finds: one line each, how bad it is, and the cure."""

import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from syncjob.errors import ExitCode, SyncjobError

RUN = re.compile(r" \((run: [^)]+)\)$")


class Level(IntEnum):
    """How bad a finding is. Only a FAULT keeps a run from its success."""

    OK = 0
    NOTE = 1  # good to know
    UNCHECKED = 2  # could not be looked at, for what another finding says
    WARNING = 3  # works now, and may not for long
    FAULT = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is what was looked at, a word that never changes; `cure` is empty where none is due.

    No text holds a secret, a token or an OpenID.
    """

    check: str
    level: Level
    what: str
    cure: str = ""


def ok(check: str, what: str) -> Finding:
    """Nothing is wrong there."""
    return Finding(check, Level.OK, what)


def note(check: str, what: str, cure: str = "") -> Finding:
    """Nothing is wrong, and somebody should know."""
    return Finding(check, Level.NOTE, what, cure)


def unchecked(check: str, why: str) -> Finding:
    """It was not looked at."""
    return Finding(check, Level.UNCHECKED, f"not looked at: {why}")


def warning(check: str, what: str, cure: str) -> Finding:
    """A run may succeed, and will not always."""
    return Finding(check, Level.WARNING, what, cure)


def fault(check: str, what: str, cure: str) -> Finding:
    """No run can succeed until that is mended."""
    return Finding(check, Level.FAULT, what, cure)


def guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; where it breaks, that it did.

    Whoever asks the doctor has trouble enough: it never ends with an internal error.
    """
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks go on
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        yield fault(
            check,
            f"the check itself failed: {type(error).__name__} at {place}",
            "please report it, with what -vv shows",
        )


def told(check: str, error: SyncjobError) -> Finding:
    """What an error says; one that passes by itself is a warning."""
    what, _, cure = str(error).partition("\n")
    if not cure:
        what, _, cure = what.partition("; ")
    if in_brackets := RUN.search(what):
        what, cure = what[: in_brackets.start()], in_brackets[1]
    if error.exit_code == ExitCode.TRY_AGAIN_LATER:
        return warning(check, what, cure or "nothing: a later run goes on")
    return fault(check, what, cure or "look it up in docs/what-went-wrong.md")
