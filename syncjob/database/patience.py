"""Steps of the store that are taken again: what they met will have passed, or is known now."""

import functools
import logging
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from sqlalchemy.exc import IntegrityError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_any,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from syncjob.errors import DatabaseError
from syncjob.interruption import interruption

logger = logging.getLogger(__name__)

# Seconds: a server that restarts is back by then; silent runs live for three minutes.
PATIENCE = 60.0
LONGEST_PAUSE = 5.0

C = TypeVar("C", bound=type)
T = TypeVar("T")


class Undone(DatabaseError):
    """Nothing of the transaction was stored, and the same one may succeed later."""


class Busy(Undone):
    """The server lets nobody in just now: it starts, or has as many sessions as it may."""


def patient(cls: C) -> C:
    """Have every public method of the class, each a transaction, taken again when it was Undone.

    With exponential backoff and full jitter, for PATIENCE at most.
    """
    for name, method in vars(cls).items():
        if isinstance(method, FunctionType) and not name.startswith("_") and name != "close":
            setattr(cls, name, _patient(method))
    return cls


def until_let_in(step: Callable[..., T]) -> Callable[..., T]:
    """Have a step that opens a database taken again while that is Busy, and only then.

    What else keeps it closed, a wrong address for one, is to be said at once.
    """
    return _patient(step, Busy)


class NotPlain(Exception):
    """A step meets what it cannot do plainly."""


def plainly_first(step: Callable[..., T]) -> T:
    """Take a step that inserts rows plainly; once more, and with care, if one is there already.

    To insert with care costs PostgreSQL a sixth to a quarter more, and hardly ever one is there.
    """
    try:
        return step(plainly=True)
    except (IntegrityError, NotPlain):  # nothing of it is stored
        return step(plainly=False)


def _patient(method: Callable[..., Any], passing: type[Undone] = Undone) -> Callable[..., Any]:
    @functools.wraps(method)
    def step(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except passing as undone:
            failed_first = [undone]  # which is the first of the attempts

        def attempt_again() -> Any:
            if failed_first:
                raise failed_first.pop()
            return method(*arguments, **options)

        retrying = Retrying(
            retry=retry_if_exception_type(passing),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
            stop=stop_any(stop_before_delay(PATIENCE), _TooLate()),
            before_sleep=_say,
            sleep=time.sleep,
            reraise=True,
        )
        return retrying(attempt_again)

    return step


class _TooLate(stop_base):
    """Ends the attempts where a signal leaves no time for the next pause."""

    def __call__(self, state: RetryCallState) -> bool:
        return interruption.left(state.upcoming_sleep) < state.upcoming_sleep


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info(
        "The database failed; trying again. attempt=%d wait=%.1fs reason=%s",
        state.attempt_number + 1,
        state.upcoming_sleep,
        str(error).split("\n")[0],
    )
