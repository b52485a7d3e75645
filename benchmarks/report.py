"""Output: progress on stderr, the results as a table and as JSON, the facts of the machine."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "requests",
    "urllib3",
    "psycopg",
    "SQLAlchemy",
    "msgspec",
    "wechatpy",
    "dlt",
    "pyarrow",
    "adbc-driver-postgresql",
)


@dataclass(frozen=True)
class Column:
    """A column of a table: the key in its rows, its heading and the format of its values."""

    key: str
    heading: str
    form: str = "{}"


@dataclass(frozen=True)
class Table:
    """The result of a scenario; a missing value or None is unknown."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the table as aligned Markdown."""
        lines = [[column.heading for column in self.columns]]
        for row in self.rows:
            values = [(row.get(column.key), column.form) for column in self.columns]
            lines.append(["–" if value is None else form.format(value) for value, form in values])
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join(_aligned(cells, widths) for cells in (lines[0], ruler, *lines[1:]))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"


def log_progress(text: str) -> None:
    """Print a line to stderr, with the time before it."""
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", file=sys.stderr, flush=True)


def about(database: Mapping[str, str]) -> dict[str, str]:
    """Return the date, the machine and all versions."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} × {_cpu()}, {_memory()}, Linux {platform.release()}",
        "syncjob": f"{version('syncjob')} ({_commit()})",
        "Python": platform.python_version(),
        **database,
        "packages": ", ".join(f"{package} {version(package)}" for package in _PACKAGES),
    }


def write_json(
    file: Path, facts: Mapping[str, str], options: Mapping[str, Any], table: Table
) -> None:
    """Write the facts, the options and the rows."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {**facts, "options": options, "rows": table.rows, "notes": table.notes}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{total / 2**30:.0f} GiB"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "no commit"
