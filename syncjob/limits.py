"""A limit for what has none of its own: name servers, handshakes, answers that drip."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


class Overdue(Exception):
    """It did not end in time."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what the function returns, from a thread of its own; raise what it raises.

    Raises Overdue after so many seconds. The thread is left behind then, as it is when a signal
    comes: the caller waits for it in a way that a signal ends, whatever the function is in.
    """
    # Not a Future: it would refer to an error whose traceback refers to it, and so keep what the
    # failed call has read until Python's collector looks.
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
            results.put((None, error))

    threading.Thread(target=work, name="call", daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise Overdue from None
    if error is not None:
        try:
            raise error
        finally:
            error = None  # as above
    return cast(T, result)
