"""The scenario race: all contenders in turn, each on a new database."""

from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.databases import Database
from benchmarks.lineup import OURS, PLAIN, Contender
from benchmarks.measure import Measured, measure
from benchmarks.options import Options
from benchmarks.processes import Failed
from benchmarks.report import Column, Table, log_progress
from benchmarks.wechat import Account

_COLUMNS = (
    Column("contender", "contender"),
    Column("seconds", "median s", "{:.2f}"),
    Column("fastest", "min s", "{:.2f}"),
    Column("to_plain", "to plain", "{:.2f} ×"),
    Column("to_syncjob", "to syncjob", "{:.2f} ×"),
    Column("client_us", "client µs", "{:.1f}"),
    Column("database_us", "database µs", "{:.1f}"),
    Column("simulator_us", "WeChat µs", "{:.1f}"),
    Column("peak_mb", "peak MB", "{:.0f}"),
    Column("calls", "calls", "{:,}"),
)


def race(options: Options, database: Database) -> Table:
    """Run every contender once per round, for `options.repeat` rounds.

    In rounds, so that a change in the machine's speed affects all contenders alike.
    """
    account = Account(options.followers, options.latency, options.profiles, options.tls)
    results: dict[str, list[Measured]] = {contender.name: [] for contender in options.contenders}
    for turn in range(options.repeat):
        for contender in options.contenders:
            measured = measure(contender, account, database, options.concurrency)
            results[contender.name].append(measured)
            log_progress(
                f"{turn + 1}/{options.repeat}  {contender.name:13}{measured.seconds:9.2f} s"
            )
    _compare(results)
    rows = [_row(contender, results) for contender in options.contenders]
    return Table(_COLUMNS, rows, _notes(options))


def _compare(results: dict[str, list[Measured]]) -> None:
    """Raise Failed unless all contenders stored the same data."""
    sums = {
        name: {measured.stored.checksum for measured in turns if measured.stored}
        for name, turns in results.items()
    }
    if len(set().union(*sums.values())) > 1:
        raise Failed(f"the contenders did not store the same: {sums}")


def _row(contender: Contender, results: dict[str, list[Measured]]) -> dict[str, Any]:
    turns = results[contender.name]
    plain = results.get(PLAIN[contender.database])
    ours = results.get(OURS)
    seconds = _median(turns, "seconds")
    return {
        "contender": contender.name + ("" if turns[0].stored else "*"),
        "seconds": seconds,
        "fastest": min(measured.seconds for measured in turns),
        "to_plain": seconds / _median(plain, "seconds") if plain else None,
        "to_syncjob": seconds / _median(ours, "seconds") if ours else None,
        "client_us": _per_follower(turns, "client_cpu"),
        "database_us": _per_follower(turns, "database_cpu"),
        "simulator_us": _per_follower(turns, "simulator_cpu"),
        "peak_mb": max(measured.peak_mb for measured in turns),
        "calls": turns[0].calls,
        "turns": [asdict(measured) for measured in turns],
    }


def _median(turns: list[Measured], name: str) -> float:
    return float(median(getattr(measured, name) for measured in turns))


def _per_follower(turns: list[Measured], name: str) -> float | None:
    """Return the median in microseconds per follower."""
    if any(getattr(measured, name) is None for measured in turns):
        return None
    return _median(turns, name) / turns[0].followers * 1e6


def _notes(options: Options) -> list[str]:
    waits = options.followers / 100 * options.latency / 1000
    notes = [
        f"{options.followers:,} new followers, {options.latency:g} ms a call, at most "
        f"{options.concurrency} calls at once; turns: {options.repeat}; profiles: "
        f"{options.profiles}. Calls × latency / concurrency: {waits / options.concurrency:.1f} s.",
        "µs: CPU a follower, of all the client's processes, of PostgreSQL, of the simulator.",
    ]
    notes += [
        f"* measured with {contender.at_most:,} followers, and calculated from that."
        for contender in options.contenders
        if contender.at_most and contender.at_most < options.followers
    ]
    return notes
