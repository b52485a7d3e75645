"""Commands of the operator's: run without a shell, for a limited time."""

import os
import subprocess
from collections.abc import Mapping
from typing import IO

from syncjob.interruption import interruption


def run_command(
    words: tuple[str, ...],
    *,
    timeout: float,
    stdin: bytes | None = None,
    stdout: IO[bytes] | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Run a command and return its exit code; None of a stream leaves it where ours goes.

    It is killed, and with it what it has started, when it is overdue, which raises
    subprocess.TimeoutExpired, and when a signal ends this process. Raises OSError where it cannot
    be started.
    """
    # At a terminal it stays in our group: it may ask something there, and Ctrl-C reaches it.
    leads_group = not os.isatty(0)

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - the operator's own words; no shell sees them
            words,
            stdin=None if stdin is None else subprocess.PIPE,
            stdout=stdout,
            env=environ,
            process_group=0 if leads_group else None,
        )

    with interruption.killing(start, leads_group=leads_group) as process:
        process.communicate(stdin, timeout=timeout)
    return int(process.returncode)
