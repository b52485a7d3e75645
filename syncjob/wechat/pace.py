"""How fast WeChat may be called: slower, for the rest of a run, each time it says so."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pace:
    """Lets at most `most` calls out at a time, and none while WeChat wants a pause. Thread-safe.

    `sleep` and `monotonic` are replaced by tests.
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
        """Wait for a call's turn, and be out with it in the block.

        A call that `has_waited`, because it was the one that was told to, pauses no more.
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
        """Let half as many out from now on, the first of them after a pause.

        Several that are told the same at a time are told it once.
        """
        with self._changed:
            now = self._monotonic()
            if now >= self._paused_until:
                self._most = max(1, self._most // 2)
            self._paused_until = max(self._paused_until, now + seconds)
