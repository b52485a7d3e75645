"""One run of one contender, with a new database and simulator, and a check of the result."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.databases import Database, Stored
from benchmarks.lineup import Contender
from benchmarks.processes import BIN, Failed, Usage, environment, run
from benchmarks.wechat import Account, WeChat, serving

SYNCJOB = str(BIN / "syncjob")


@dataclass(frozen=True)
class Measured:
    """The resources used by a run, in seconds and MB, and a summary of the stored data.

    `stored` is None if the figures are extrapolated from a smaller account.
    """

    followers: int
    seconds: float
    client_cpu: float
    database_cpu: float | None
    simulator_cpu: float
    peak_mb: float
    calls: int
    stored: Stored | None


def measure(contender: Contender, account: Account, database: Database, calls: int) -> Measured:
    """Run the contender on a new database, with at most `calls` concurrent calls.

    For an account larger than `at_most`, the figures are extrapolated from two smaller ones.
    Raises Failed if a follower is missing in the database afterwards.
    """
    if contender.at_most is None or account.followers <= contender.at_most:
        return _measure(contender, account, database, calls)
    empty = _measure(contender, replace(account, followers=0), database, calls)
    sample = _measure(contender, replace(account, followers=contender.at_most), database, calls)
    return _extrapolated(empty, sample, account.followers)


def _measure(contender: Contender, account: Account, database: Database, calls: int) -> Measured:
    url = database.fresh()
    try:
        with serving(account) as wechat, TemporaryDirectory(prefix="syncjob-bench-") as folder:
            environ = environment_of(contender, wechat, url, calls, Path(folder))
            prepare(contender, database, url, environ)
            usage, on_server, in_wechat = run_measured(contender, database, url, wechat, environ)
        stored = database.stored(url, contender.table)
    finally:
        database.drop(url)
    if (stored.followers, stored.unionids) != (account.followers, account.followers):
        raise Failed(f"{contender.name} stored {stored} of {account.followers} followers")
    return Measured(
        account.followers,
        usage.seconds,
        usage.cpu_seconds,
        on_server,
        in_wechat,
        usage.peak_mb,
        sum(wechat.calls.values()),
        stored,
    )


def environment_of(
    contender: Contender, wechat: WeChat, url: str, calls: int, folder: Path, **more: str
) -> dict[str, str]:
    """Return the environment of the contender; `more` are settings of syncjob."""
    if contender.module:
        return environment(
            **wechat.trust,
            BENCH_WECHAT=wechat.url,
            BENCH_APPID=wechat.appid,
            BENCH_SECRET=wechat.secret,
            BENCH_DATABASE=url,
            BENCH_CONCURRENCY=str(calls),
            BENCH_FOLDER=str(folder),
        )
    return environment(
        **wechat.trust,
        SYNCJOB_API_URL=wechat.url,
        SYNCJOB_APPID=wechat.appid,
        SYNCJOB_APPSECRET=wechat.secret,
        SYNCJOB_DATABASE_URL=url,
        SYNCJOB_CONCURRENCY=str(calls),
        **more,
    )


def prepare(contender: Contender, database: Database, url: str, environ: Mapping[str, str]) -> None:
    """Prepare the database for the contender, before the timed run."""
    if contender.before == "migrate":
        run([SYNCJOB, "migrate"], environ)
    elif contender.before == "create":
        database.create_table(url)


def run_measured(
    contender: Contender, database: Database, url: str, wechat: WeChat, environ: Mapping[str, str]
) -> tuple[Usage, float | None, float]:
    """Run the contender; return its usage and the CPU seconds of the server and of WeChat."""
    module = f"benchmarks.contenders.{contender.module}"
    command = [sys.executable, "-m", module] if contender.module else [SYNCJOB, "sync"]
    server_before, wechat_before = database.cpu(), wechat.cpu()
    usage = run(command, environ)
    database.settle(url)
    server_after = database.cpu()
    known = server_before is not None and server_after is not None
    on_server = (server_after or 0) - (server_before or 0) if known else None
    return usage, on_server, wechat.cpu() - wechat_before


def _extrapolated(empty: Measured, sample: Measured, followers: int) -> Measured:
    """Extrapolate to `followers`: a constant start, the rest in proportion."""

    def at(start: float, end: float) -> float:
        return start + (end - start) * followers / sample.followers

    on_server = None
    if empty.database_cpu is not None and sample.database_cpu is not None:
        on_server = at(empty.database_cpu, sample.database_cpu)
    return Measured(
        followers,
        at(empty.seconds, sample.seconds),
        at(empty.client_cpu, sample.client_cpu),
        on_server,
        at(empty.simulator_cpu, sample.simulator_cpu),
        sample.peak_mb,
        round(at(empty.calls, sample.calls)),
        None,
    )
