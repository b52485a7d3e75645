"""The scenario rerun: a second sync with a new sweep, on an unchanged account."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.lineup import OURS, pick
from benchmarks.measure import SYNCJOB, environment_of, prepare, run_measured
from benchmarks.options import Options
from benchmarks.postgresql import PostgreSQL
from benchmarks.processes import run
from benchmarks.report import Column, Table, log_progress
from benchmarks.wechat import Account, serving

_COLUMNS = (
    Column("turn", "turn"),
    Column("seconds", "s", "{:.2f}"),
    Column("client_us", "client µs", "{:.1f}"),
    Column("database_us", "database µs", "{:.1f}"),
    Column("inserted", "inserted", "{:,}"),
    Column("updated", "updated", "{:,}"),
    Column("deleted", "deleted", "{:,}"),
    Column("pages", "user/get", "{:,}"),
    Column("batches", "batchget", "{:,}"),
    Column("peak_mb", "peak MB", "{:.0f}"),
)


def rerun(options: Options, database: PostgreSQL) -> Table:
    """Sync once untimed and once timed, `options.repeat` times, on PostgreSQL."""
    rows = []
    for turn in range(options.repeat):
        row = {"turn": turn + 1, **_second_sync(options, database)}
        rows.append(row)
        log_progress(f"{turn + 1}/{options.repeat}  {row['seconds']:9.2f} s")
    note = (
        f"The second sync of {options.followers:,} followers of whom none has changed, "
        f"{options.latency:g} ms a call, at most {options.concurrency} calls at once. µs: CPU a "
        "follower. Inserted, updated, deleted: rows of the table followers."
    )
    return Table(_COLUMNS, rows, [note])


def _second_sync(options: Options, database: PostgreSQL) -> dict[str, Any]:
    (ours,) = pick("postgresql", OURS)
    account = Account(options.followers, options.latency, options.profiles, options.tls)
    url = database.fresh()
    every_run = {"SYNCJOB_SWEEP_EVERY": "0"}
    try:
        with serving(account) as wechat, TemporaryDirectory() as folder:
            environ = environment_of(
                ours, wechat, url, options.concurrency, Path(folder), **every_run
            )
            prepare(ours, database, url, environ)
            run([SYNCJOB, "sync"], environ)
        # A separate simulator counts only the calls of the second sync.
        database.forget_token(url)
        database.rest(url)
        before = database.written(url, "followers")
        with serving(account) as wechat, TemporaryDirectory() as folder:
            environ = environment_of(
                ours, wechat, url, options.concurrency, Path(folder), **every_run
            )
            usage, on_server, _ = run_measured(ours, database, url, wechat, environ)
        after = database.written(url, "followers")
    finally:
        database.drop(url)
    each = 1e6 / options.followers
    return {
        "seconds": usage.seconds,
        "client_us": usage.cpu_seconds * each,
        "database_us": None if on_server is None else on_server * each,
        **{name: after[name] - before[name] for name in after},
        "pages": wechat.calls.get("user/get", 0),
        "batches": wechat.calls.get("user/info/batchget", 0),
        "peak_mb": usage.peak_mb,
    }
