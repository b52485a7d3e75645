"""A deadline for each call as a whole.

The timeouts of requests and urllib3 are between two bytes: a server that sends one byte a second
holds a call up for ever. Here a thread shuts down the socket of a call that is overdue. So sockets
need no timeout of their own once they are connected (see connections.py).
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Deadlines:
    """Cuts off the calls of an adapter that take too long. Thread-safe.

    `silence`: seconds until an answer begins once its request is sent; `whole`: those that a call
    may take in all, and no less.
    """

    def __init__(self, *, silence: float, whole: float) -> None:
        self._silence = silence
        self._whole = whole
        # By thread; each writes its own entry, so that no call waits for another here.
        self._calls: dict[int, Call] = {}
        self._watching = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextmanager
    def of_this_call(self) -> Iterator["Call"]:
        """Watch what this thread sends and receives in the block."""
        if self._thread is None:
            self._begin_to_watch()
        call = Call(time.monotonic() + self._whole)
        self._calls[threading.get_ident()] = call
        try:
            yield call
        finally:
            call.sock = None  # another call's from now on
            del self._calls[threading.get_ident()]

    def sent_over(self, sock: socket.socket | None) -> None:
        """Note the socket of this thread's call: from now on it can be cut off."""
        call = self._calls.get(threading.get_ident())
        if call is not None:
            call.sock = sock
            call.due = min(call.end, time.monotonic() + self._silence)
            if call.is_overdue:  # there was none to cut off when its time was over
                call.cut_off()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _begin_to_watch(self) -> None:
        with self._watching:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        wait = 0.0
        while not self._closed.wait(wait):
            now = time.monotonic()
            # A request that is sent meanwhile is due no sooner than that.
            wait = self._silence
            for call in tuple(self._calls.values()):
                if call.due <= now and not call.is_overdue:
                    call.cut_off()
                elif not call.is_overdue:
                    wait = min(wait, call.due - now)


class Call:
    """`due`: when it is cut off, unless it gets on; `end`: when it is, whatever comes."""

    def __init__(self, end: float) -> None:
        self.due = self.end = end
        self.is_overdue = False
        self.is_answered = False
        self.sock: socket.socket | None = None

    def begin_answer(self) -> None:
        """Note that an answer has begun; what was cut off may look like one."""
        if not self.is_overdue:
            self.is_answered = True
            self.due = self.end

    def cut_off(self) -> None:
        """Have whatever is sent or received end now."""
        self.is_overdue = True
        if self.sock is not None:
            with suppress(OSError):
                # Below TLS, whose own way to end would wait for the other side.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
