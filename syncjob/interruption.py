"""Graceful shutdown on a signal, with deadlines that hold whatever hangs.

    0 s    Interrupted is raised in the main thread, or deferred to the end of a transaction
    1 s    a transaction that still runs is interrupted; later ones may take 1 s each
    2 s    no more waiting for other threads, and no more retries
    3.5 s  no transaction may begin; only the report and the exit are left
    4.5 s  the watchdog thread ends the process

Python runs signal handlers only in the main thread, between two bytecodes. A signal that arrives
just before a blocking call would be handled only after it, so the watchdog sends it again.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from syncjob.errors import ExitCode, Interrupted

# Seconds since the signal, except TRANSACTION: the maximum duration of one transaction.
TRANSACTION = 1.0
WAIT_UNTIL = 2.0
RECORD_UNTIL = 3.5
END_AT = 4.5
# How often the watchdog sends a signal again that was not handled, or that a transaction outlasts.
REPEAT_EVERY = 0.25
# Seconds for the final log line, which a full pipe may block.
LAST_WORDS = 0.2
REAP_WITHIN = 1.0  # seconds to wait for a killed command
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """The signal that ends this process, if one has arrived. There is one instance per process."""

    def __init__(self) -> None:
        self._groups: dict[int, bool] = {}  # process ID of a command: whether it leads a group
        self._forget()

    def _forget(self) -> None:
        self._name: str | None = None  # of the signal
        self._since = 0.0
        self._deferring = 0
        self._pending = False
        self._limit = 0.0  # of the transaction that is running
        self._exit_code: int | None = None

    def left(self, seconds: float) -> float:
        """Return how long a wait may take: `seconds`, or less after a signal."""
        if self._name is None:
            return seconds
        return max(0.0, min(seconds, self._since + WAIT_UNTIL - time.monotonic()))

    def listen(self, last_words: Callable[[str], object]) -> Callable[[], None]:
        """Install signal handlers in the main thread; return a function that removes them.

        Before the watchdog ends the process, it calls `last_words` with the signal's name and
        waits for it LAST_WORDS seconds at most.
        """
        self._forget()
        # An ignored signal stays ignored, as nohup expects.
        handled = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        over = threading.Event()
        arguments = (reader, over, threading.get_ident(), last_words)
        watchdog = threading.Thread(
            target=self._run_watchdog, args=arguments, name="stop", daemon=True
        )
        watchdog.start()
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        before = {one: signal.signal(one, self._handle) for one in handled}

        def stop() -> None:
            self.kill_commands()
            for one, handler in before.items():
                signal.signal(one, handler)
            signal.set_wakeup_fd(wakeup)
            over.set()
            os.close(writer)  # ends the watchdog
            watchdog.join()
            os.close(reader)
            self._forget()

        return stop

    def exit_with(self, code: int) -> None:
        """End the process at once on a signal, past or future, with this exit code."""
        self._exit_code = code
        if self._name is not None:
            self._exit(code)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defer signals to the end of the block, for TRANSACTION seconds at most.

        Does nothing in other threads than the main one. Raises Interrupted at the end of a block
        in which a signal arrived, and at the start of a block for which no time is left.
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
        """Yield the process that `start` starts; kill it if the block fails or this process ends.

        `leads_group`: kill its process group.
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
        """Kill every command that is still running."""
        for process_id in tuple(self._groups):
            self._kill(process_id)

    def _kill(self, process_id: int) -> None:
        kill = os.killpg if self._groups.get(process_id) else os.kill
        with suppress(OSError):  # it has ended already
            kill(process_id, signal.SIGKILL)

    def _handle(self, number: int, _frame: object) -> None:
        """Raise Interrupted for the first signal, and again while a deferred block is overdue."""
        now = time.monotonic()
        if self._exit_code is not None:
            self._exit(self._exit_code)
        is_first = self._name is None
        if is_first:
            self._name, self._since = signal.Signals(number).name, now
            self._limit = now + TRANSACTION
            self._pending = self._deferring > 0
        if (is_first and not self._deferring) or (self._deferring and now >= self._limit):
            self._limit = now + 2 * REPEAT_EVERY  # time to leave the block
            raise Interrupted(self._name)

    def _end_of_block(self) -> None:
        self._deferring -= 1
        if self._pending and not self._deferring:
            self._pending = False
            raise Interrupted(self._name)

    def _run_watchdog(
        self,
        reader: int,
        over: threading.Event,
        main_thread: int,
        last_words: Callable[[str], object],
    ) -> None:
        """Wait for a signal, send it again until it is handled, and end the process at END_AT."""
        while number := os.read(reader, 1):
            # `simulate` installs other handlers around the command that it runs.
            if signal.getsignal(number[0]) == self._handle:
                break
        else:
            return
        end_at = time.monotonic() + END_AT
        while not over.wait(REPEAT_EVERY):
            now = time.monotonic()
            if now >= end_at:
                self._end_process(signal.Signals(number[0]).name, last_words)
            if self._name is None or (self._deferring and now >= self._limit):
                signal.pthread_kill(main_thread, number[0])

    def _end_process(self, name: str, last_words: Callable[[str], object]) -> None:
        speaker = threading.Thread(target=last_words, args=(name,), daemon=True)
        speaker.start()
        speaker.join(LAST_WORDS)
        self._exit(ExitCode.TRY_AGAIN_LATER)

    def _exit(self, code: int) -> None:
        """End the process without waiting for threads, finalizers or full pipes."""
        self.kill_commands()
        os._exit(code)


interruption = Interruption()
