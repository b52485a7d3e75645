"""When a sweep should start, and when an open one is too old to continue.

`next_sweep_at` is the one rule: screens and logs that show the next sweep call it too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from syncjob.database.store import Store
from syncjob.model.accounts import Account
from syncjob.model.sweeps import Sweep

# "auto" spends half of the list calls that a new account has per day; the company's other programs
# have the other half (doc/service/Message_Management/API_Call_Limits.html).
LIST_CALLS_A_DAY = 500
AUTO_SHARE = 0.5
# A daily timer never fires exactly a day after the last time; without slack "1d" would mean every
# second day.
EARLY = 0.95
# After so many discarded sweeps in a row, wait: a list of a hundred pages, read again every few
# minutes, would use up the daily calls of all programs.
DISCARDED_IN_A_ROW = 3


def next_sweep_at(store: Store, account: Account, every: timedelta | None) -> datetime | None:
    """Return the earliest time of the next sweep; None if the next run sweeps, whenever that is.

    `every` counts from the start of a complete sweep to that of the next; None means as often as
    AUTO_SHARE of the day's list calls allows: a sweep takes one call a page and one for the end.
    """
    if store.sweeps.get_open(account.id) is not None:
        return None
    sealed = None if owes_sweep(store, account) else store.sweeps.get_sealed(account.id)
    newest = store.sweeps.get_newest(account.id, DISCARDED_IN_A_ROW)
    return _due_at(sealed, newest, every, store.get_now())


def owes_sweep(store: Store, account: Account) -> bool:
    """Tell whether a backfill has not listed everybody yet: no sweep is sealed that it began."""
    started = account.backfill_started_at if account.backfilling else None
    # One from the future means that the clock was set back.
    if started is None or started > store.get_now():
        return False
    sealed = store.sweeps.get_sealed(account.id)
    return sealed is None or sealed.started_at < started


def wants_sweep(store: Store, account: Account, every: timedelta | None) -> bool:
    """Tell whether a run should list: a sweep is open, or it is time for another one."""
    at = next_sweep_at(store, account, every)
    return at is None or at <= store.get_now()


def _due_at(
    sealed: Sweep | None, newest: Sequence[Sweep], every: timedelta | None, now: datetime
) -> datetime | None:
    """Return the earliest start of a new sweep; None: at once.

    `sealed` is the last complete one, `newest` are the last DISCARDED_IN_A_ROW of any kind. After a
    discarded sweep the next one starts at once; after several in a row the list is likely to stay
    broken.
    """
    last = sealed
    if newest and newest[0].status == "discarded":
        in_a_row = sum(sweep.status == "discarded" for sweep in newest)
        last = newest[0] if in_a_row >= DISCARDED_IN_A_ROW else None
    # A sweep from the future means that the clock was set back.
    if last is None or last.started_at > now:
        return None
    try:
        return last.started_at + _interval(last, every) * EARLY
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def is_too_old(sweep: Sweep, max_age: timedelta, now: datetime) -> bool:
    """Tell whether an open sweep must be started over instead of continued."""
    # One from the future means that the clock was set back.
    return not timedelta(0) <= now - sweep.started_at < max_age


def _interval(sweep: Sweep, every: timedelta | None) -> timedelta:
    if every is not None:
        return every
    sweeps_a_day = LIST_CALLS_A_DAY * AUTO_SHARE / (sweep.pages + 1)
    return timedelta(days=1) / sweeps_a_day
