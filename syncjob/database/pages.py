"""Statements that store one page of the follower list."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Subquery,
    and_,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from syncjob.database import candidates
from syncjob.database.clock import DatabaseClock
from syncjob.database.conditions import is_added_by, is_due, is_listed_by, last_sealed_at
from syncjob.database.tables import followers, sweep_openids
from syncjob.database.transactions import Transaction, require_stored
from syncjob.model.sweeps import HeldPages, Sweep

FAR = 1 << 30  # behind every page
# OpenIDs that one SELECT looks up while answers fill the memory: libpq never gives back the memory
# that a whole page takes as a parameter, on any connection.
LOOKUP_SIZE = 2_000
# For how long an answer counts for more than the list that contradicts it.
CONTRADICTED_FOR = timedelta(days=1)


class Listed(NamedTuple):
    """What a page changed: counts as in PageSaved, and the OpenIDs to ask about."""

    fresh: int
    new: int
    returned: int
    due: Sequence[str]


class _Known(NamedTuple):
    """How many OpenIDs of a page are stored, and how many of those are in each state.

    `seen`: an earlier page of the sweep added them. `new`: this page adds them, or an answer about
    them did. `stale` of the new ones name a later page, or none, as a run that died left them.
    """

    all: int
    gone: int
    due: int
    seen: int
    new: int
    stale: int


def has_listed(tx: Transaction, sweep: Sweep, openid: str) -> bool:
    """Tell whether a page of this sweep has listed the OpenID."""
    statement = select(followers.c.openid).where(
        followers.c.account_id == sweep.account_id,
        followers.c.openid == openid,
        is_listed_by(sweep),
    )
    return tx.connection.scalar(statement) is not None


def find_known(tx: Transaction, account_id: int, openids: Sequence[str]) -> dict[str, bool]:
    """Return which of these OpenIDs are stored, and whether they are due to be asked about."""
    known: dict[str, bool] = {}
    columns = {"openid": followers.c.openid, "due": is_due(tx.clock, account_id)}
    for start in range(0, len(openids), LOOKUP_SIZE):
        stored = _stored(tx, account_id, openids[start : start + LOOKUP_SIZE], **columns)
        known.update((row.openid, bool(row.due)) for row in tx.connection.execute(select(stored)))
    return known


def save(
    tx: Transaction,
    sweep: Sweep,
    openids: Sequence[str],
    *,
    added_before: int,
    assume_new: bool,
) -> Listed:
    """Add the new OpenIDs, subscribe those that returned, and record which ones the page listed.

    Answers have added `added_before` other OpenIDs of the page already. One SELECT of what is
    stored saves the page of an old account most of the writing. With `assume_new`, which costs a
    sixth less, an OpenID that the sweep has listed before is an IntegrityError.
    """
    if not openids:
        return Listed(added_before, added_before, 0, ())
    candidates.reset_listed(tx, sweep.account_id, openids)
    number = sweep.pages + 1
    rows = _stored(
        tx,
        sweep.account_id,
        openids,
        openid=followers.c.openid,
        gone=and_(followers.c.subscribe.is_(False), not_(_is_contradicted(tx.clock))),
        due=is_due(tx.clock, sweep.account_id),
        added=is_added_by(sweep),
        page=func.coalesce(followers.c.first_page, FAR),
    )
    known = _count(tx, rows, number)
    if known.all < len(openids):
        added = add(tx, sweep.account_id, sweep.id, number, openids)
        if added == len(openids):
            new = added_before + added
            return Listed(new, new, 0, openids)
        # Counted again, not derived: answers may have added some in the meantime.
        known = _count(tx, rows, number)
        require_stored(followers.name, known.all, len(openids))
    returned = 0
    if known.gone:
        gone = list(tx.connection.scalars(select(rows.c.openid).where(rows.c.gone)))
        returned = _subscribe_again(tx, sweep, gone)
    if known.stale:
        _note_page(tx, sweep, number, openids)
    old = openids
    if known.new + known.seen == len(openids):
        old = ()
    elif known.new or known.seen:
        old = list(tx.connection.scalars(select(rows.c.openid).where(not_(rows.c.added))))
    seen = 0
    if old:
        # Some lists begin each page with its cursor, which the page before has listed.
        assume_new = assume_new and sweep.next_openid not in old
        # Sorted like the index, which is then cheaper to write.
        values = {"sweep_id": literal(sweep.id)}
        seen = tx.dialect.insert_new(
            tx.connection, sweep_openids, values, sorted(old), assume_new=assume_new
        )
    due: Sequence[str] = ()
    if known.due or returned:
        due = list(tx.connection.scalars(select(rows.c.openid).where(rows.c.due)))
    new = added_before + known.new
    return Listed(new + seen, new, returned, due)


def _is_contradicted(clock: DatabaseClock) -> ColumnElement[bool]:
    """Return the condition of a follower for which the list is not believed for now.

    WeChat's answer said that they had left while the list still had them. The list may go on to
    have them, for ever or until they are back: it is believed again, and WeChat asked, once a day.
    """
    # An instant in the future is from before a clock was set back, and says nothing of today.
    at = followers.c.list_contradicted_at
    lasts = and_(at > clock.now(-CONTRADICTED_FOR), at <= clock.now())
    return func.coalesce(lasts, false())


def _count(tx: Transaction, rows: Subquery, number: int) -> _Known:
    is_new = and_(rows.c.added, rows.c.page >= number)
    counted = (
        rows.c.gone,
        rows.c.due,
        and_(rows.c.added, rows.c.page < number),
        is_new,
        and_(is_new, rows.c.page > number),
    )
    counts = [func.count().filter(condition) for condition in counted]
    return _Known._make(
        tx.connection.execute(select(func.count(), *counts).select_from(rows)).one()
    )


def add(
    tx: Transaction,
    account_id: int,
    sweep_id: int,
    number: int,
    openids: Sequence[str],
    *,
    assume_new: bool = False,
) -> int:
    """Add the OpenIDs of a page that are not stored yet; return how many that were.

    With `assume_new` an OpenID that is stored is an IntegrityError.

    Each row opens a follow period: it began after the last sealed sweep, which did not list them.
    Rows are added in byte order, as answers are: of two transactions that add the same rows one
    waits for the other, and no deadlock arises.
    """
    now = tx.clock.now()
    values = {
        "account_id": literal(account_id),
        "subscribe": true(),
        "first_seen_at": now,
        "changed_at": now,
        "followed_after": last_sealed_at(tx.clock, account_id),
        "followed_before": now,
        "first_sweep_id": literal(sweep_id),
        "first_page": literal(number),
    }
    return tx.dialect.insert_new(
        tx.connection, followers, values, sorted(openids), assume_new=assume_new
    )


def add_held(
    tx: Transaction,
    account_id: int,
    held: HeldPages,
    openids: Sequence[str],
    *,
    assume_new: bool,
) -> None:
    """Add those of these OpenIDs that held pages list; `assume_new` as in `add`."""
    for openid in openids:
        number = held.pages.get(openid)
        if number:
            sweep_id = held.sweep_id
            added = add(tx, account_id, sweep_id, number, [openid], assume_new=assume_new)
            if not added:  # then it must be there already
                require_stored(followers.name, len(find_known(tx, account_id, [openid])), 1)


def _note_page(tx: Transaction, sweep: Sweep, number: int, openids: Sequence[str]) -> None:
    """Record this page as the one that lists them first, unless an earlier one does."""
    statement = update(followers).where(
        followers.c.account_id == sweep.account_id,
        followers.c.openid.in_(tx.dialect.openid_rows(openids)),
        is_added_by(sweep),
        or_(followers.c.first_page.is_(None), followers.c.first_page > number),
    )
    tx.connection.execute(statement.values(first_page=number))


def forget_unstored(tx: Transaction, sweep: Sweep) -> None:
    """Forget which page listed a follower first, where that page was never stored.

    It is fetched again, and may now begin and end elsewhere.
    """
    statement = update(followers).where(
        followers.c.account_id == sweep.account_id,
        followers.c.first_sweep_id == sweep.id,
        followers.c.first_page > sweep.pages,
    )
    tx.connection.execute(statement.values(first_page=None))


def _subscribe_again(tx: Transaction, sweep: Sweep, openids: Sequence[str]) -> int:
    """Subscribe again those marked as gone that this sweep lists for the first time; count them.

    Except those for which the list is not believed, and those that this sweep added: the answer
    that marked those is as new as the list. All others become due for enrichment: only WeChat's
    answer opens another follow period, since the list may lag behind.
    """
    statement = (
        update(followers)
        .where(
            followers.c.account_id == sweep.account_id,
            followers.c.openid.in_(tx.dialect.openid_rows(openids)),
            not_(is_added_by(sweep)),
            not_(is_listed_by(sweep)),
            not_(_is_contradicted(tx.clock)),
        )
        .values(subscribe=True, unsubscribed_at=None, enriched_at=None, changed_at=tx.clock.now())
    )
    return tx.connection.execute(statement).rowcount


def _stored(
    tx: Transaction,
    account_id: int,
    openids: Sequence[str],
    **columns: ColumnElement[Any],
) -> Subquery:
    """Return a subquery of those OpenIDs that are stored, with these columns."""
    stored = select(*(column.label(name) for name, column in columns.items())).where(
        followers.c.account_id == account_id
    )
    return stored.where(tx.dialect.is_one_of(followers.c.openid, openids)).subquery("stored")
