"""A limit for what has none of its own: name servers, handshakes, answers that drip."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


class Overdue(Exception):
    """It did not end in time."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what the function returns, from a thread of its own; raise what it raises.

    Raises Overdue after so many seconds. The thread is left behind then, as it is when a signal
    comes: the caller waits for it in a way that a signal ends, whatever the function is in.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
            future.set_exception(error)

    threading.Thread(target=work, name="call", daemon=True).start()
    if not wait([future], seconds).done:
        raise Overdue
    return future.result()
