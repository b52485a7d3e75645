"""Runs another program against a simulator: its environment, signals and exit code.

Options and output are in cli/simulate.py.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager


def run_command(
    command: Sequence[str], settings: Mapping[str, str], *, without: Collection[str] = ()
) -> int:
    """Run `command` with `settings` added to the environment and return its exit code.

    The variables in `without` are removed, and NO_PROXY is set for the simulator. SIGTERM is
    forwarded to the command; Ctrl-C reaches it anyway. The exit code of a command killed by signal
    N is 128+N. Raises FileNotFoundError for an unknown command, OSError if it cannot be started.
    """
    child: subprocess.Popen[bytes] | None = None
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if child is not None:
            child.terminate()

    # The terminal sends Ctrl-C to the command as well; here it must not end the wait.
    with _handling(stop, signal.SIGTERM), _handling(lambda: None, signal.SIGINT):
        child = subprocess.Popen(  # noqa: S603 - the operator's own command, without a shell
            command, env=_environment(settings, without)
        )
        if stopped:  # SIGTERM arrived while the command was starting
            child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code


def wait_for_stop(ready: Callable[[], object]) -> None:
    """Call `ready`, then wait for Ctrl-C or SIGTERM. Either may arrive as soon as it is called."""
    # A pipe, not an Event: the signal handler may interrupt code that holds the Event's lock.
    reader, writer = os.pipe()
    try:
        with _handling(lambda: os.write(writer, b"."), signal.SIGINT, signal.SIGTERM):
            ready()
            os.read(reader, 1)
    finally:
        os.close(reader)
        os.close(writer)


@contextmanager
def _handling(react: Callable[[], object], *signals: signal.Signals) -> Iterator[None]:
    """Call `react` on these signals; ignored signals stay ignored."""
    before = {number: signal.getsignal(number) for number in signals}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, lambda _number, _frame: react())
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _environment(settings: Mapping[str, str], without: Collection[str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    unproxied = ",".join(filter(None, (os.environ.get("NO_PROXY", ""), "127.0.0.1")))
    return {**inherited, "NO_PROXY": unproxied, "no_proxy": unproxied, **settings}
