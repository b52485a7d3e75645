"""Commands whose signals are as a terminal leaves them, whatever the shell of the tests did."""

import signal
import sys

# By exec, in the process itself: between fork and exec of a process with threads nothing is safe.
_RESET_AND_EXEC = """
import os, signal, sys
ignored = sys.argv[1]
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    handler = signal.SIG_IGN if name == ignored else signal.SIG_DFL
    signal.signal(getattr(signal, name), handler)
os.execv(sys.argv[2], sys.argv[2:])
"""


def heeding_signals(command: list[str], *, ignored: signal.Signals | None = None) -> list[str]:
    """Return the command so that it heeds SIGINT, SIGTERM and SIGHUP, but for one ignored.

    A shell makes what it starts in the background ignore Ctrl-C.
    """
    return [sys.executable, "-c", _RESET_AND_EXEC, ignored.name if ignored else "", *command]
