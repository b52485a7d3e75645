"""A time limit for operations that have none: DNS, TLS handshakes, answers sent byte by byte."""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

_Result = tuple[Any, BaseException | None]


class Overdue(Exception):
    """The time limit passed before the function returned."""


class CallThreads:
    """A pool of daemon threads that run functions with a time limit. Thread-safe.

    A thread is reused for the next function. After a timeout or a signal it is abandoned: it gets
    no other function, and ends when the current one returns.
    """

    def __init__(self) -> None:
        self._idle: list[_CallThread] = []
        self._is_closed = False

    def run(self, seconds: float, function: Callable[[], T]) -> T:
        """Return what the function returns, run in another thread; raise what it raises.

        Raises Overdue after so many seconds. A signal ends the wait at once.
        """
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = _CallThread()
        result, error = thread.run(seconds, function)
        self._idle.append(thread)
        if self._is_closed:
            self.close()
        if error is not None:
            try:
                raise error
            finally:
                error = None  # its traceback refers to this frame
        return cast(T, result)

    def close(self) -> None:
        """End the idle threads. Each of the others ends when its function returns."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().end()


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what the function returns, run in a thread of its own; raise what it raises.

    Raises Overdue after so many seconds. A signal ends the wait at once.
    """
    threads = CallThreads()
    try:
        return threads.run(seconds, function)
    finally:
        threads.close()


class _CallThread:
    """One thread, with a queue each way."""

    def __init__(self) -> None:
        # Not futures: a future and the traceback of its error refer to each other, which keeps
        # the data of a failed call in memory until Python's collector runs.
        self._functions: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        queues = (self._functions, self._results)
        threading.Thread(target=_work, args=queues, name="call", daemon=True).start()

    def run(self, seconds: float, function: Callable[[], Any]) -> _Result:
        """Return the function's result and error; raise Overdue and end the thread if late."""
        try:
            self._functions.put(function)
            return self._results.get(timeout=seconds)
        except queue.Empty:
            self.end()
            raise Overdue from None
        except BaseException:  # a signal
            self.end()
            raise

    def end(self) -> None:
        """Let the thread end when it has nothing to run."""
        self._functions.put(None)


def _work(
    functions: "queue.SimpleQueue[Callable[[], Any] | None]",
    results: "queue.SimpleQueue[_Result]",
) -> None:
    while (function := functions.get()) is not None:
        result: _Result
        try:
            result = (function(), None)
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            result = (None, error)
        del function  # frees its data while the thread is idle
        results.put(result)
        del result
