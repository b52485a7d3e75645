"""The scenario startup: the time of `syncjob status` on an empty database."""

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import SYNCJOB
from benchmarks.processes import environment, run
from benchmarks.report import Column, Table

TIMES = 10
_COLUMNS = (
    Column("command", "command"),
    Column("seconds", "median s", "{:.3f}"),
    Column("fastest", "min s", "{:.3f}"),
    Column("slowest", "max s", "{:.3f}"),
    Column("cpu", "CPU s", "{:.3f}"),
    Column("peak_mb", "peak MB", "{:.0f}"),
)


def startup() -> Table:
    """Run `syncjob status` and, for comparison, Python alone, TIMES times in turn."""
    with TemporaryDirectory(prefix="syncjob-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'empty.db'}"
        environ = environment(SYNCJOB_DATABASE_URL=url, SYNCJOB_APPID="wx5d1f0a2b3c4e6978")
        commands = {
            "syncjob status": [SYNCJOB, "status"],
            "syncjob --version": [SYNCJOB, "--version"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        run([SYNCJOB, "migrate"], environ)
        turns = [
            {name: run(command, environ) for name, command in commands.items()}
            for _ in range(TIMES)
        ]
    rows = []
    for name in commands:
        measured = [turn[name] for turn in turns]
        seconds = [usage.seconds for usage in measured]
        rows.append(
            {
                "command": name,
                "seconds": median(seconds),
                "fastest": min(seconds),
                "slowest": max(seconds),
                "cpu": median(usage.cpu_seconds for usage in measured),
                # 0: the process was too short to be sampled.
                "peak_mb": max(usage.peak_mb for usage in measured) or None,
            }
        )
    return Table(_COLUMNS, rows, [f"On an empty SQLite database, {TIMES} times each, in turn."])
