"""A limit for what has none of its own: name servers, handshakes, answers that drip."""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")

_Result = tuple[Any, BaseException | None]


class Overdue(Exception):
    """It did not end in time."""


class CallThreads:
    """Daemon threads that run functions for callers who wait no longer than their limit.

    A thread is kept for the next call. One whose caller has given up is left behind: it takes no
    further function, and ends when the one it is in returns. Thread-safe.
    """

    def __init__(self) -> None:
        self._idle: list[_CallThread] = []
        self._is_closed = False

    def run(self, seconds: float, function: Callable[[], T]) -> T:
        """Return what the function returns, run in another thread; raise what it raises.

        Raises Overdue after so many seconds. A signal ends the wait, whatever the function is in.
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
        """End the threads that run nothing; the others end with what they run."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().end()


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what the function returns, run in a thread of its own; raise what it raises.

    Raises Overdue after so many seconds. A signal ends the wait, whatever the function is in.
    """
    threads = CallThreads()
    try:
        return threads.run(seconds, function)
    finally:
        threads.close()


class _CallThread:
    """One thread, with a queue each way."""

    def __init__(self) -> None:
        # Not futures: one refers to an error whose traceback refers to it, and so keeps what a
        # failed call has read until Python's collector runs.
        self._functions: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        queues = (self._functions, self._results)
        threading.Thread(target=_work, args=queues, name="call", daemon=True).start()

    def run(self, seconds: float, function: Callable[[], Any]) -> _Result:
        """Return the function's result and its error; raise Overdue and end the thread if late."""
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
        except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
            result = (None, error)
        del function  # and with it what it has read, while the thread waits for the next one
        results.put(result)
        del result
