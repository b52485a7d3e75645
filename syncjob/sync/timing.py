"""When a sweep should start, and when an open one is too old to go on with."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from syncjob.database.store import Store
from syncjob.model import Account, Sweep

# "auto" spends half of what a new account may list a day, so that the company's other programs
# have the other half (doc/service/Message_Management/API_Call_Limits.html).
LIST_CALLS_A_DAY = 500
AUTO_SHARE = 0.5
# A timer that fires once a day never fires exactly a day after the last time; without some slack
# "1d" would mean every second day.
EARLY = 0.95
# From then on the quota is kept: a list of a hundred pages, read anew every few minutes, would use
# up the day's calls of every program.
DISCARDED_IN_A_ROW = 3


def is_due(
    sealed: Sweep | None, newest: Sequence[Sweep], every: timedelta | None, now: datetime
) -> bool:
    """Tell whether a new sweep should start.

    `sealed` is the newest one that came to its end, `newest` are the last DISCARDED_IN_A_ROW of any
    kind. `every` counts from start to start; None means as often as AUTO_SHARE of the day's list
    calls allows: a sweep takes one call a page and one for the end. After a discarded sweep the
    next one starts at once; after some in a row the list is likely to stay as it is.
    """
    if newest and newest[0].status == "discarded":
        in_a_row = sum(sweep.status == "discarded" for sweep in newest)
        return in_a_row < DISCARDED_IN_A_ROW or not _is_recent(newest[0], every, now)
    return sealed is None or not _is_recent(sealed, every, now)


def wants_sweep(store: Store, account: Account, every: timedelta | None) -> bool:
    """Tell whether a run should list: a sweep is open, or it is time for another one."""
    if store.get_open_sweep(account.id) is not None:
        return True
    sealed = store.get_sealed_sweep(account.id)
    newest = store.get_newest_sweeps(account.id, DISCARDED_IN_A_ROW)
    started = account.backfill_started_at if account.backfilling else None
    if started is not None and (sealed is None or sealed.started_at < started):
        sealed = None  # the backfill is owed a sweep of its own
    return is_due(sealed, newest, every, store.get_now())


def is_too_old(sweep: Sweep, max_age: timedelta, now: datetime) -> bool:
    """Tell whether an open sweep is to be started over instead of gone on with."""
    return not _is_recent(sweep, max_age / EARLY, now)


def _is_recent(sweep: Sweep, every: timedelta | None, now: datetime) -> bool:
    if every is None:
        sweeps_a_day = LIST_CALLS_A_DAY * AUTO_SHARE / (sweep.pages + 1)
        every = timedelta(days=1) / sweeps_a_day
    # A sweep from the future means that the clock was set back.
    return timedelta(0) <= now - sweep.started_at < every * EARLY
