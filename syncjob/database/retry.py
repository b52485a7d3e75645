"""Repeats steps of the store after failures that pass by themselves."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

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

PATIENCE = 60.0  # seconds; a server that restarts is back by then
LONGEST_PAUSE = 5.0

T = TypeVar("T")


class Undone(DatabaseError):
    """Nothing of the transaction was stored, and the same one may succeed later."""


class Busy(Undone):
    """The server accepts no session now: it starts, or all its sessions are taken."""


def retrying(step: Callable[[], T], patience: float, when: type[Undone] = Undone) -> T:
    """Run the step; repeat it while it raises `when`, for `patience` seconds at most.

    With exponential backoff and full jitter. Of a step that never succeeds the last error is
    raised.
    """
    try:
        return step()
    except when as error:
        first_error = [error]  # which counts as the first of the attempts

    def attempt() -> T:
        if first_error:
            raise first_error.pop()
        return step()

    retry = Retrying(
        retry=retry_if_exception_type(when),
        wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
        stop=stop_any(stop_before_delay(patience), _NoTimeLeft()),
        before_sleep=_log,
        sleep=time.sleep,
        reraise=True,
    )
    return retry(attempt)


class _NoTimeLeft(stop_base):
    """Ends the attempts where a signal leaves no time for the next pause."""

    def __call__(self, state: RetryCallState) -> bool:
        return interruption.left(state.upcoming_sleep) < state.upcoming_sleep


def _log(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.info(
        "The database failed; trying again. attempt=%d wait=%.1fs reason=%s",
        state.attempt_number + 1,
        state.upcoming_sleep,
        str(error).split("\n")[0],
    )
