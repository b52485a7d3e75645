"""Runs the operator's commands, without a shell and with a time limit."""

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
    """Run a command and return its exit code. A stream that is None is inherited.

    The command and its children are killed after `timeout` seconds, and when a signal ends this
    process. Raises subprocess.TimeoutExpired, and OSError if the command cannot be started.
    """
    # At a terminal it stays in our process group, so that it can prompt and receives Ctrl-C.
    leads_group = not os.isatty(0)

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - the operator's own command, without a shell
            words,
            stdin=None if stdin is None else subprocess.PIPE,
            stdout=stdout,
            env=environ,
            process_group=0 if leads_group else None,
        )

    with interruption.killing(start, leads_group=leads_group) as process:
        process.communicate(stdin, timeout=timeout)
    return int(process.returncode)
