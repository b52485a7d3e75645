"""Runs a program and measures seconds, CPU of all its processes and peak memory.

Reads /proc, so Linux only.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

BIN = Path(sys.executable).parent
_TICK = os.sysconf("SC_CLK_TCK")
_POLL_SECONDS = 0.02
_MAX_OUTPUT = 4000


class Failed(Exception):
    """A program of the benchmark failed or gave a wrong result."""


@dataclass(frozen=True)
class Usage:
    """The resources a program used; `peak_mb` is that of its largest process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program, without the settings of the shell."""
    names = ("PATH", "HOME", "TMPDIR", "MALLOC_ARENA_MAX")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    # dlt would send telemetry.
    fixed = {"LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return {**kept, **fixed, **more}


def run(command: Sequence[str], environ: Mapping[str, str], allowed: Sequence[int] = (0,)) -> Usage:
    """Run the command with this environment and return the resources it used.

    Raises Failed, with the end of its output, if its exit code is not in `allowed`.
    """
    with TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
        peak = _Peak(process.pid)
        try:
            # The usage includes every child that the process has waited for.
            _, status, spent = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            peak.stop()
            if process.returncode is None:
                process.kill()
                process.wait()
        if process.returncode not in allowed:
            output.seek(max(0, output.seek(0, os.SEEK_END) - _MAX_OUTPUT))
            said = output.read().decode(errors="replace")
            raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return Usage(seconds, spent.ru_utime + spent.ru_stime, peak.megabytes)


class _Peak:
    """Samples the memory of a process and its children in a thread.

    Not getrusage: there the peak of a forked child starts at the peak of its parent.
    """

    def __init__(self, pid: int) -> None:
        self.megabytes = 0.0
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            largest = max(map(_peak_memory, (self._pid, *_children(self._pid))))
            self.megabytes = max(self.megabytes, largest / 1024)


def _peak_memory(pid: int) -> int:
    """Return the VmHWM of a process in KiB, 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    _, _, rest = status.partition("VmHWM:")
    return int(rest.split(maxsplit=1)[0]) if rest else 0


def _children(pid: int) -> list[int]:
    """Return the children that the main thread of the process started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Stat(NamedTuple):
    """Fields of /proc/PID/stat."""

    name: str
    parent: int
    cpu_seconds: float
    """Including the children that it has waited for."""


def stat(pid: int) -> Stat | None:
    """Return the fields of a process, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Stat(name, int(fields[1]), sum(map(int, fields[11:15])) / _TICK)


def family_cpu(pid: int) -> float:
    """Return the CPU seconds of a process and its children, also of those that have ended."""
    # A child that ends between two reads may be missing in a sum: take the larger of two.
    return max(_family_cpu(pid) for _ in range(2))


def _family_cpu(pid: int) -> float:
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    known = [(each, stat(each)) for each in pids]
    return sum(one.cpu_seconds for each, one in known if one and pid in (each, one.parent))
