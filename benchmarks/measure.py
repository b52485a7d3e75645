"""One run of one contender: a fresh database, a simulator of its own, and a look at the result."""

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
    """What a run took, in seconds and MB, and what it left behind.

    `stored` is None if the figures were calculated from those of a smaller account.
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
    """Run the contender, with so many calls at once, against the account on a fresh database.

    An account that is larger than the contender is measured at is calculated from two smaller
    ones. Raises Failed if not everybody is in the database afterwards.
    """
    if contender.at_most is None or account.followers <= contender.at_most:
        return _measure(contender, account, database, calls)
    nobody = _measure(contender, replace(account, followers=0), database, calls)
    some = _measure(contender, replace(account, followers=contender.at_most), database, calls)
    return _extrapolated(nobody, some, account.followers)


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
    """Return the environment that tells the contender what to do; `more` are syncjob's settings."""
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
    """Do what the contender needs before its time begins."""
    if contender.before == "migrate":
        run([SYNCJOB, "migrate"], environ)
    elif contender.before == "create":
        database.create_table(url)


def run_measured(
    contender: Contender, database: Database, url: str, wechat: WeChat, environ: Mapping[str, str]
) -> tuple[Usage, float | None, float]:
    """Run the contender; return what it took, and the CPU seconds of the server and of WeChat."""
    module = f"benchmarks.contenders.{contender.module}"
    command = [sys.executable, "-m", module] if contender.module else [SYNCJOB, "sync"]
    server_before, wechat_before = database.cpu(), wechat.cpu()
    usage = run(command, environ)
    database.settle(url)
    server_after = database.cpu()
    known = server_before is not None and server_after is not None
    on_server = (server_after or 0) - (server_before or 0) if known else None
    return usage, on_server, wechat.cpu() - wechat_before


def _extrapolated(nobody: Measured, some: Measured, followers: int) -> Measured:
    """Return what so many followers would take: the start once, the rest in proportion."""

    def at(start: float, end: float) -> float:
        return start + (end - start) * followers / some.followers

    on_server = None
    if nobody.database_cpu is not None and some.database_cpu is not None:
        on_server = at(nobody.database_cpu, some.database_cpu)
    return Measured(
        followers,
        at(nobody.seconds, some.seconds),
        at(nobody.client_cpu, some.client_cpu),
        on_server,
        at(nobody.simulator_cpu, some.simulator_cpu),
        some.peak_mb,
        round(at(nobody.calls, some.calls)),
        None,
    )
