"""How a signal ends what is under way: as an exception, but never within a transaction."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from syncjob.errors import Interrupted


class Interruption:
    """Turns signals into Interrupted, at a moment when that leaves nothing half done.

    A signal often comes twice (to the process and to its group), so that another one within GRACE
    seconds is ignored while the end of the run is recorded. One that comes later means that the
    first was lost or that something hangs, and raises wherever it is.
    """

    GRACE = 2.0

    def __init__(self) -> None:
        self._deferring = 0
        self._pending: str | None = None
        self._until = 0.0

    def arrive(self, name: str) -> None:
        """Raise Interrupted now, or at the end of what is deferred; for a signal handler."""
        now = time.monotonic()
        if now < self._until:
            return
        self._until = now + self.GRACE
        if self._deferring and self._pending is None:
            self._pending = name
            return
        self._pending = None
        raise Interrupted(name)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal wait for the end of the block. Other threads than the main one see none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._deferring += 1
        try:
            yield
        finally:
            self._deferring -= 1
        if self._pending is not None and not self._deferring:
            name, self._pending = self._pending, None
            raise Interrupted(name)


interruption = Interruption()
