"""Runs another program against a served simulator: its environment, signals and exit code.

What is printed, and what the operator may ask for, is the command line's business.
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

    The variables that `without` names are taken out, and a proxy in between.

    SIGTERM is passed on, Ctrl-C is left to the command; either way it is waited for. Killed by
    signal N counts as 128+N. Raises OSError if it cannot be started, FileNotFoundError if there
    is no such command.
    """
    child: subprocess.Popen[bytes] | None = None
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if child is not None:
            child.terminate()

    # The terminal sends Ctrl-C to the command as well; here it only must not end the waiting.
    with _handling(stop, signal.SIGTERM), _handling(lambda: None, signal.SIGINT):
        child = subprocess.Popen(  # noqa: S603 - running what the operator typed is the point
            command, env=_environment(settings, without)
        )
        if stopped:  # SIGTERM came while the command was being started
            child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code


def wait_for_stop(ready: Callable[[], object]) -> None:
    """Call `ready`, then wait for Ctrl-C or SIGTERM; either may come as soon as it is called."""
    # A pipe, because an Event's own lock may be held by the very code that the signal interrupts.
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
    """Call `react` on these signals; one that the caller had ignored stays ignored."""
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
    around = {name: value for name, value in os.environ.items() if name not in without}
    unproxied = ",".join(filter(None, (os.environ.get("NO_PROXY", ""), "127.0.0.1")))
    return {**around, "NO_PROXY": unproxied, "no_proxy": unproxied, **settings}
