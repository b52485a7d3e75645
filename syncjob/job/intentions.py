"""What a run would do if it started now; reads the database only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from syncjob.database.store import Store
from syncjob.job.process import is_dead
from syncjob.job.timing import is_too_old, next_sweep_at, wants_sweep
from syncjob.model.accounts import AccountStatus
from syncjob.model.quota import QuotaUse
from syncjob.model.runs import Run
from syncjob.model.sweeps import Sweep


@dataclass(frozen=True, slots=True)
class Intentions:
    """What a run would do.

    `running`: a run that is alive, because of which a new one would end at once. `sweep`: what
    would happen to the list; `open_sweep` and `sealed_sweep` are the latest ones. `subscribed`:
    known followers. `candidates`: followers missing from the list, to be asked about unless
    `parked`; `unenriched` and `stale`: followers whose profile would be fetched. `exhausted`:
    quotas that are used up. `next_sweep_at`: the earliest time of the next sweep, None if the
    next run sweeps. `as_of`: when the database was read.
    """

    running: Run | None
    sweep: Literal["resume", "start", "not yet"]
    subscribed: int
    open_sweep: Sweep | None
    sealed_sweep: Sweep | None
    candidates: int
    parked: bool
    unenriched: int
    stale: int
    exhausted: list[QuotaUse]
    next_sweep_at: datetime | None
    as_of: datetime


def intend(
    store: Store,
    appid: str,
    *,
    sweep_every: timedelta | None,
    sweep_max_age: timedelta,
    refresh_after: timedelta | None,
    refresh_limit: int,
) -> Intentions:
    """Return what a run of the account would do; write nothing."""
    account = store.accounts.get(appid)
    if account is None:
        return Intentions(None, "start", 0, None, None, 0, False, 0, 0, [], None, store.get_now())
    status = store.reports.get_status(account)
    stale = 0
    if refresh_after is not None:
        stale = store.followers.count_stale(
            account.id, refresh_after=refresh_after, limit=refresh_limit
        )
    running = status.running
    return Intentions(
        running=None if running is None or is_dead(running.holder or "") else running,
        sweep=_sweep(store, status, sweep_every, sweep_max_age),
        subscribed=status.subscribed,
        open_sweep=status.open_sweep,
        sealed_sweep=status.sealed_sweep,
        candidates=status.candidates,
        parked=account.parked_at is not None,
        unenriched=status.unenriched,
        stale=stale,
        exhausted=[use for use in status.quotas if use.exhausted_at is not None],
        next_sweep_at=next_sweep_at(store, account, sweep_every),
        as_of=status.as_of,
    )


def _sweep(
    store: Store, status: AccountStatus, every: timedelta | None, max_age: timedelta
) -> Literal["resume", "start", "not yet"]:
    if status.open_sweep is not None:
        return "start" if is_too_old(status.open_sweep, max_age, status.as_of) else "resume"
    return "start" if wants_sweep(store, status.account, every) else "not yet"
