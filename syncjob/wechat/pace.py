"""Limits concurrent calls: half as many, for the rest of a run, each time WeChat says so."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Allows at most `most` calls at a time, and none while WeChat wants a pause. Thread-safe.

    Tests replace `sleep` and `monotonic`.
    """

    def __init__(
        self,
        most: int,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._sleep = sleep
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._out = 0
        self._paused_until = 0.0

    @contextmanager
    def kept(self, *, has_waited: bool = False) -> Iterator[None]:
        """Wait for a free slot, and hold it in the block.

        A call that `has_waited`, because it was told to, does not pause again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._out < self._most)
            self._out += 1
            pause = self._paused_until - self._monotonic()
        try:
            if pause > 0 and not has_waited:
                self._sleep(pause)
            yield
        finally:
            with self._changed:
                self._out -= 1
                self._changed.notify()

    def slow_down(self, seconds: float) -> None:
        """Halve the number of concurrent calls, and pause all calls for so many seconds.

        Several calls that are told so at the same time count as one.
        """
        with self._changed:
            now = self._monotonic()
            if now >= self._paused_until:
                self._most = max(1, self._most // 2)
            self._paused_until = max(self._paused_until, now + seconds)
