"""How a signal ends the process: what is running ends in time, and the process does in any case.

    0 s    Interrupted is raised in the main thread, or waits for the end of a transaction
    1 s    that transaction is interrupted as well; each one that begins later may take 1 s
    2 s    nobody waits for other threads any more, or tries anything again
    3.5 s  no transaction begins: what is left is to write the report and to exit
    4.5 s  the last resort, a thread of its own, ends the process

Only the main thread runs Python's signal handlers, and only between two steps of Python's. A signal
that comes just before a blocking call would wait for its end, so the last resort repeats it.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from syncjob.errors import ExitCode, Interrupted

# Seconds since the signal, but for TRANSACTION, which is the time of one.
TRANSACTION = 1.0
WAIT_UNTIL = 2.0
RECORD_UNTIL = 3.5
END_AT = 4.5
# How often a signal that was not handled, or a transaction that goes on, is interrupted again.
REPEAT_EVERY = 0.25
# For the last words, which a full pipe may hold up.
LAST_WORDS = 0.2
REAP_WITHIN = 1.0  # a command that is killed
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """The signal that ends this process, if one has come. There is one object in a process."""

    def __init__(self) -> None:
        self._groups: dict[int, bool] = {}  # process IDs of commands; whether each leads a group
        self._forget()

    def _forget(self) -> None:
        self._name: str | None = None  # of the signal
        self._since = 0.0
        self._deferring = 0
        self._pending = False
        self._limit = 0.0  # of the transaction that is running
        self._exit_code: int | None = None

    def left(self, seconds: float) -> float:
        """Return how long something may be waited for: `seconds`, or less after a signal."""
        if self._name is None:
            return seconds
        return max(0.0, min(seconds, self._since + WAIT_UNTIL - time.monotonic()))

    def listen(self, last_words: Callable[[str], object]) -> Callable[[], None]:
        """Handle signals from now on, for the main thread; return what ends that.

        The last resort calls `last_words` with the name of the signal, for a moment at most.
        """
        self._forget()
        # One that is ignored already stays so: that is what nohup means.
        handled = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        over = threading.Event()
        arguments = (reader, over, threading.get_ident(), last_words)
        watch = threading.Thread(target=self._watch, args=arguments, name="stop", daemon=True)
        watch.start()
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        before = {one: signal.signal(one, self._handle) for one in handled}

        def stop() -> None:
            self.kill_commands()
            for one, handler in before.items():
                signal.signal(one, handler)
            signal.set_wakeup_fd(wakeup)
            over.set()
            os.close(writer)  # which ends the thread
            watch.join()
            os.close(reader)
            self._forget()

        return stop

    def exit_with(self, code: int) -> None:
        """Let a signal from now on end the process at once, with this code; end it if one came."""
        self._exit_code = code
        if self._name is not None:
            self._exit(code)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal wait for the end of the block, but for TRANSACTION seconds at most.

        Other threads than the main one see none. Raises Interrupted at the end of a block in which
        a signal came, and at the beginning of one for which there is no time left.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        if self._name is not None and not self._deferring:
            now = time.monotonic()
            self._limit = min(now + TRANSACTION, self._since + RECORD_UNTIL)
            if now >= self._limit:
                raise Interrupted(self._name)
        self._deferring += 1
        try:
            yield
        except Exception:
            self._end_of_block()
            raise
        except BaseException:
            self._deferring -= 1
            self._pending = self._pending and self._deferring > 0
            raise
        else:
            self._end_of_block()

    @contextmanager
    def killing(
        self, start: Callable[[], "subprocess.Popen[bytes]"], *, leads_group: bool
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Yield the command that `start` starts; kill it if the block fails, or this process ends.

        `leads_group`: kill with it all that it has started.
        """
        with self.deferred():
            process = start()
            self._groups[process.pid] = leads_group
        try:
            yield process
        except BaseException:
            self._kill(process.pid)
            if process.stdin is not None:
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(REAP_WITHIN)
            raise
        finally:
            self._groups.pop(process.pid, None)

    def kill_commands(self) -> None:
        """Kill every command that is running still."""
        for process_id in tuple(self._groups):
            self._kill(process_id)

    def _kill(self, process_id: int) -> None:
        kill = os.killpg if self._groups.get(process_id) else os.kill
        with suppress(OSError):  # it has just ended
            kill(process_id, signal.SIGKILL)

    def _handle(self, number: int, _frame: object) -> None:
        """Raise Interrupted, unless it has been; for the first signal and those that repeat it."""
        now = time.monotonic()
        if self._exit_code is not None:
            self._exit(self._exit_code)
        is_first = self._name is None
        if is_first:
            self._name, self._since = signal.Signals(number).name, now
            self._limit = now + TRANSACTION
            self._pending = self._deferring > 0
        if (is_first and not self._deferring) or (self._deferring and now >= self._limit):
            self._limit = now + 2 * REPEAT_EVERY  # to leave what it was in
            raise Interrupted(self._name)

    def _end_of_block(self) -> None:
        self._deferring -= 1
        if self._pending and not self._deferring:
            self._pending = False
            raise Interrupted(self._name)

    def _watch(
        self,
        reader: int,
        over: threading.Event,
        main_thread: int,
        last_words: Callable[[str], object],
    ) -> None:
        """Wait for a signal; repeat it while that helps, and end the process when it has not."""
        while number := os.read(reader, 1):
            # A command that is run under `simulate` ends by itself: the handlers are others.
            if signal.getsignal(number[0]) == self._handle:
                break
        else:
            return
        end_at = time.monotonic() + END_AT
        while not over.wait(REPEAT_EVERY):
            now = time.monotonic()
            if now >= end_at:
                self._last_resort(signal.Signals(number[0]).name, last_words)
            if self._name is None or (self._deferring and now >= self._limit):
                signal.pthread_kill(main_thread, number[0])

    def _last_resort(self, name: str, last_words: Callable[[str], object]) -> None:
        said = threading.Thread(target=last_words, args=(name,), daemon=True)
        said.start()
        said.join(LAST_WORDS)
        self._exit(ExitCode.TRY_AGAIN_LATER)

    def _exit(self, code: int) -> None:
        """End the process: no thread, finalizer or full pipe holds it up."""
        self.kill_commands()
        os._exit(code)


interruption = Interruption()
