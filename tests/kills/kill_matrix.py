"""Kills the installed command before and after each call and each commit; `make kill-matrix`.

On every road that a run can take, on both kinds of database, with SIGKILL. What is left must open,
`status` must speak, a rerun must reach the truth and must not ask again for what is stored. Exits
with 1 if anything differs. `tests/kills/moments` kills the process at the named moment.
"""

# ruff: noqa: T201 - it prints its figures

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

if __name__ in ("__main__", "__mp_main__"):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from sqlalchemy import create_engine, make_url, text

from tests.conftest import Databases
from tests.kills.killer import Cell, Figures, kill_in
from tests.kills.roads import ROADS

KINDS = ("sqlite", "postgresql")
CONCURRENCY = (1, 8)


def main() -> int:
    """Deal out the cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roads", nargs="+", choices=ROADS, default=list(ROADS))
    parser.add_argument("--databases", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--concurrency", nargs="+", type=int, default=list(CONCURRENCY))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="kill at each Nth moment")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--database-url",
        default=os.environ.get("SYNCJOB_TEST_DATABASE_URL"),
        help="a PostgreSQL server where databases may be made; default: one of its own",
    )
    asked = parser.parse_args()
    cells = [
        Cell(road, kind, concurrency)
        for concurrency in asked.concurrency
        for road in asked.roads
        for kind in asked.databases
        # To migrate is one thing after the other, whatever is set.
        if ROADS[road].command != "migrate" or concurrency == asked.concurrency[0]
    ]
    started = time.monotonic()
    done: dict[Cell, Figures] = {}
    with ExitStack() as stack:
        server = asked.database_url
        if server is None and "postgresql" in asked.databases:
            from tests.histories.soak import postgresql_running

            server = stack.enter_context(postgresql_running())
            hurry(server)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="syncjob-kill-"))
        pool = stack.enter_context(
            ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn"))
        )
        left = {pool.submit(play, cell, server, folder, asked.every): cell for cell in cells}
        for future in as_completed(left):
            done[left[future]] = future.result()
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{len(done)} of {len(cells)} cells", end=end, file=sys.stderr, flush=True)
    return report({cell: done[cell] for cell in cells}, time.monotonic() - started)


def hurry(server: str) -> None:
    """Have a server of our own wait for no disk: it is not the one that is killed."""
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


def play(cell: Cell, server: str | None, folder: str, every: int) -> Figures:
    """Kill the runs of a cell in a process of its own; what breaks is a difference."""
    mine = Path(folder, uuid4().hex)
    mine.mkdir()
    databases = Databases(cell.kind, mine, server)
    try:
        return kill_in(cell, databases, server, mine, every=every)
    except Exception:  # noqa: BLE001 - reported, with the others
        return Figures(differences=[f"{cell}: {traceback.format_exc()}"])
    finally:
        databases.close()


def report(done: Mapping[Cell, Figures], seconds: float) -> int:
    """Print the table, its sum and the differences; return the exit code."""
    line = "{:<10} {:<10} {:>11} {:>6} {:>6} {:>6} {:>11}  {}"
    print(
        line.format(
            *("road", "database", "concurrency", "kills", "hit", "reruns", "differences"),
            "most repeated: lists, profiles",
        )
    )
    total = Figures()

    def row(name: str, kind: str, concurrency: object, row_figures: Figures) -> str:
        return line.format(
            *(
                name,
                kind,
                concurrency,
                row_figures.kills,
                row_figures.hits,
                row_figures.reruns,
                len(row_figures.differences),
            ),
            f"{row_figures.lists}, {row_figures.profiles}",
        )

    for cell, figures in done.items():
        total.add(figures)
        concurrency = "-" if ROADS[cell.road].command == "migrate" else cell.concurrency
        print(row(cell.road, cell.kind, concurrency, figures))
    print(row("total", "", f"{seconds:.0f} s", total))
    for difference in total.differences:
        print(difference)
    return 1 if total.differences else 0


if __name__ == "__main__":
    sys.exit(main())
