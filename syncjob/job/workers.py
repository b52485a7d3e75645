"""The threads of a run: they execute calls and transactions, and own no state of the run.

Every result comes back through one queue, to be taken by the thread that owns the run.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from syncjob.errors import RunLost, SyncjobError, in_one_line
from syncjob.interruption import interruption
from syncjob.log_context import with_log_fields

logger = logging.getLogger(__name__)

T = TypeVar("T")
Pool = Literal["list", "ask", "store"]
# Takes what a function returned, or what it raised.
Then = Callable[[Any, BaseException | None], None]

# How long the end of a run waits for transactions that have begun.
STORING_SECONDS = 5.0


class Workers:
    """Daemon threads in pools: one for the list, `calls` to ask about people, `writers` to store.

    With one call at a time, everything that is handed out runs one after the other. `beat` renews
    the heartbeat of the run; it is called every `beat_every` seconds of waiting. Use it in a
    `with`.

    """

    def __init__(
        self, *, calls: int, writers: int, beat: Callable[[], object], beat_every: float
    ) -> None:
        self.calls = calls
        self.writers = writers
        self._done: SimpleQueue[tuple[Then, Any, BaseException | None]] = SimpleQueue()
        self._pools: dict[Pool, _Threads] = {
            "list": _Threads("list", 1, self._done),
            "ask": _Threads("ask", calls, self._done),
            # A page is stored beside the answers, but for a database with one writer.
            "store": _Threads("store", writers + (writers > 1), self._done),
        }
        self._one_at_a_time = calls == 1
        self._running = 0
        self._queue: deque[tuple[Pool, Callable[[], Any], Then]] = deque()
        # A beat must not wait for a transaction that waits for a lock.
        self._beats = _Threads("beat", 1, self._done)
        self._beat = beat
        self._beat_every = beat_every
        self._beat_at = time.monotonic() + beat_every
        self._beating = False

    def start(self, pool: Pool, function: Callable[[], Any], then: Then) -> None:
        """Have the function run in a thread of the pool; `then` gets its result from `wait`."""
        if self._one_at_a_time and self._running:
            self._queue.append((pool, function, then))
        else:
            self._running += 1
            self._pools[pool].put(function, then)

    def finish(self) -> None:
        """Drop queued calls and start queued transactions now."""
        self._one_at_a_time = False
        for pool, function, then in self._queue:
            if pool == "store":
                self.start(pool, function, then)
        self._queue.clear()

    def wait(self, until: float | None = None) -> bool:
        """Take one result; wait for it until `until` at most. Return whether there was one.

        `until` is a value of time.monotonic(). Raises what the result's `then` raises, and
        Interrupted after a signal.
        """
        now = time.monotonic()
        if now >= self._beat_at and not self._beating:
            self._beating = True
            self._beats.put(self._beat, self._on_beat)
        wake_at = now + self._beat_every if self._beating else self._beat_at
        if until is not None:
            wake_at = min(wake_at, until)
        try:
            then, result, error = self._done.get(timeout=max(0.0, wake_at - now))
        except Empty:
            return False
        if then != self._on_beat:
            self._running -= 1
            if self._queue:
                self.start(*self._queue.popleft())
        then(result, error)
        return True

    def call(self, pool: Pool, function: Callable[[], T]) -> T:
        """Return what the function returns, from a thread of the pool, keeping the heartbeat."""
        results: list[T] = []

        def take(result: T, error: BaseException | None) -> None:
            if error is not None:
                raise error
            results.append(result)

        self.start(pool, function, take)
        while not results:
            self.wait()
        return results[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Begin nothing more; wait for transactions that have begun, and for no call."""
        for threads in {*self._pools.values(), self._beats}:
            threads.stop()
        until = time.monotonic() + interruption.left(STORING_SECONDS)
        for threads in {self._pools["store"], self._beats}:
            threads.join(until)

    def _on_beat(self, _result: object, error: BaseException | None) -> None:
        self._beating = False
        self._beat_at = time.monotonic() + self._beat_every
        if isinstance(error, RunLost):
            return  # the next write finds it
        if isinstance(error, SyncjobError):
            logger.warning("Could not renew the heartbeat. reason=%s", in_one_line(error))
        elif error is not None:
            raise error


class _Threads:
    """Daemon threads that share a queue of functions; they start with the first one.

    Not an executor of the standard library's: that waits, when the process ends, for calls that
    nobody is interested in any more.
    """

    def __init__(
        self, name: str, count: int, done: "SimpleQueue[tuple[Then, Any, BaseException | None]]"
    ) -> None:
        self._name = name
        self._count = count
        self._done = done
        self._todo: SimpleQueue[tuple[Callable[[], Any], Then] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def put(self, function: Callable[[], Any], then: Then) -> None:
        """Have the next free thread call the function."""
        for number in range(len(self._threads), self._count):
            name = f"{self._name}-{number}"
            thread = threading.Thread(target=with_log_fields(self._work), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)  # only a thread that was started can be joined
        self._todo.put((function, then))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True
        for _ in self._threads:
            self._todo.put(None)

    def join(self, until: float) -> None:
        """Wait for the threads to end, until then."""
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (todo := self._todo.get()) is not None:
            function, then = todo
            if self._stopped:
                continue
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
                self._done.put((then, None, error))
            else:
                self._done.put((then, result, None))
            # Nothing of a call is kept while the thread waits for the next one.
            todo = function = then = result = None  # type: ignore[assignment]
