"""Threads that work for a run, and never keep its process from ending."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from syncjob.interruption import interruption
from syncjob.log_context import with_log_fields

T = TypeVar("T")


class Background:
    """Runs functions in so many daemon threads, in the order in which they were given.

    Not an executor of the standard library's: that waits, when the process ends, for calls that
    nobody is interested in any more.
    """

    def __init__(self, threads: int, *, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(
                target=with_log_fields(self._work), name=f"{name}-{number}", daemon=True
            )
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Have the function run; its result, or what it raised, will be in the Future."""
        future: Future[T] = Future()
        self._jobs.put((future, function))
        return future

    def stop(self, *, wait: float = 0) -> None:
        """Begin nothing more, and wait up to `wait` seconds for what has begun."""
        until = time.monotonic() + interruption.left(wait)
        self._stopped.set()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            if self._stopped.is_set():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)
