"""The scenario growth: syncjob alone, on accounts of several sizes."""

from statistics import median

from benchmarks.databases import Database
from benchmarks.lineup import OURS, pick
from benchmarks.measure import Measured, measure
from benchmarks.options import Options
from benchmarks.report import Column, Table, log_progress
from benchmarks.wechat import Account

_COLUMNS = (
    Column("followers", "followers", "{:,}"),
    Column("seconds", "median s", "{:.2f}"),
    Column("us", "µs a follower", "{:.1f}"),
    Column("growth", "to the first", "{:.2f} ×"),
    Column("client_us", "client µs", "{:.1f}"),
    Column("database_us", "database µs", "{:.1f}"),
    Column("simulator_us", "WeChat µs", "{:.1f}"),
    Column("peak_mb", "peak MB", "{:.1f}"),
    Column("calls", "calls", "{:,}"),
)


def growth(options: Options, database: Database) -> Table:
    """Run syncjob on an account of each size, in turn, `options.repeat` times."""
    (ours,) = pick(options.database, OURS)
    results: dict[int, list[Measured]] = {size: [] for size in options.sizes}
    for turn in range(options.repeat):
        for size, turns in results.items():
            account = Account(size, options.latency, options.profiles, options.tls)
            measured = measure(ours, account, database, options.concurrency)
            turns.append(measured)
            log_progress(f"{turn + 1}/{options.repeat}  {size:10,}{measured.seconds:9.2f} s")
    rows = [_row(size, turns) for size, turns in results.items()]
    for row in rows:
        row["growth"] = (row["us"] or 0) / (rows[0]["us"] or 1)
    note = (
        f"syncjob alone, {options.latency:g} ms a call, at most {options.concurrency} calls at "
        f"once; turns: {options.repeat}; profiles: {options.profiles}."
    )
    return Table(_COLUMNS, rows, [note])


def _row(size: int, turns: list[Measured]) -> dict[str, float | None]:
    seconds = median(measured.seconds for measured in turns)
    on_server = [measured.database_cpu for measured in turns if measured.database_cpu is not None]
    return {
        "followers": size,
        "seconds": seconds,
        "us": seconds / size * 1e6,
        "client_us": median(measured.client_cpu for measured in turns) / size * 1e6,
        "database_us": median(on_server) / size * 1e6 if on_server else None,
        "simulator_us": median(measured.simulator_cpu for measured in turns) / size * 1e6,
        "peak_mb": max(measured.peak_mb for measured in turns),
        "calls": turns[0].calls,
    }
