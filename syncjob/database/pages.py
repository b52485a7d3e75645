"""Statements that store one page of the follower list. Each runs inside a store's transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Subquery,
    Text,
    and_,
    any_,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from syncjob.database import absence
from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert_new, openid_array, openid_rows
from syncjob.database.failures import require_stored
from syncjob.database.followers import is_brought, is_due, is_seen, last_sealed_at
from syncjob.database.tables import followers, sweep_openids
from syncjob.model import HeldPages, Sweep

FAR = 1 << 30  # behind every page
# OpenIDs at once, of those that are looked up while answers fill the memory: the room that a whole
# page takes on its way, PostgreSQL's library never gives back, on any connection.
LOOKED_UP = 2_000
# How long an answer counts for more than the list that contradicts it.
CONTRADICTED_FOR = timedelta(days=1)


class Listed(NamedTuple):
    """What a page changed: counts as in PageSaved, and who is due to be asked about."""

    fresh: int
    new: int
    returned: int
    due: Sequence[str]


class _Known(NamedTuple):
    """How many of a page are stored, and how many of those are so.

    `new` are those whom this page brings: it adds them, or an answer about them did. `astray` of
    these are noted for another page, or for none, as a run that died has left them.
    """

    all: int
    gone: int
    due: int
    seen: int
    new: int
    astray: int


def has_seen(connection: Connection, sweep: Sweep, openid: str) -> bool:
    """Tell whether a page of this sweep has listed the OpenID."""
    statement = select(followers.c.openid).where(
        followers.c.account_id == sweep.account_id,
        followers.c.openid == openid,
        is_seen(sweep),
    )
    return connection.scalar(statement) is not None


def get_known(
    connection: Connection, clock: DatabaseClock, account_id: int, openids: Sequence[str]
) -> dict[str, bool]:
    """Return who of a page is stored, and whether they are to be asked about."""
    known: dict[str, bool] = {}
    columns = {"openid": followers.c.openid, "due": is_due(clock, account_id)}
    for start in range(0, len(openids), LOOKED_UP):
        stored = _stored(connection, account_id, openids[start : start + LOOKED_UP], **columns)
        known.update((row.openid, bool(row.due)) for row in connection.execute(select(stored)))
    return known


def save(
    connection: Connection,
    clock: DatabaseClock,
    sweep: Sweep,
    openids: Sequence[str],
    *,
    brought: int,
    plainly: bool,
) -> Listed:
    """Add those that are new, subscribe those that returned, and remember whom the sweep has seen.

    `brought` others of the page were new, and answers have added them. One look at what is stored
    spares the page of an old account most of that. `plainly`, which costs a sixth less, it is an
    IntegrityError if the sweep has seen one of them before.
    """
    if not openids:
        return Listed(brought, brought, 0, ())
    absence.forget_listed(connection, sweep.account_id, openids)
    number = sweep.pages + 1
    rows = _stored(
        connection,
        sweep.account_id,
        openids,
        openid=followers.c.openid,
        gone=and_(followers.c.subscribe.is_(False), not_(_is_contradicted(clock))),
        due=is_due(clock, sweep.account_id),
        brought=is_brought(sweep),
        page=func.coalesce(followers.c.first_page, FAR),
    )
    known = _look(connection, rows, number)
    if known.all < len(openids):
        added = add(connection, clock, sweep.account_id, sweep.id, number, openids)
        if added == len(openids):
            return Listed(brought + added, brought + added, 0, openids)
        # Again, and not by counting: answers may have brought some in the meantime.
        known = _look(connection, rows, number)
        require_stored(followers.name, known.all, len(openids))
    returned = 0
    if known.gone:
        those = list(connection.scalars(select(rows.c.openid).where(rows.c.gone)))
        returned = _subscribe_again(connection, clock, sweep, those)
    if known.astray:
        _note_page(connection, sweep, number, openids)
    old = openids
    if known.new + known.seen == len(openids):
        old = ()
    elif known.new or known.seen:
        old = list(connection.scalars(select(rows.c.openid).where(not_(rows.c.brought))))
    seen = 0
    if old:
        # Where a page begins with its cursor, each of them lists one again.
        plainly = plainly and sweep.next_openid not in old
        # In the order of the index, which is then cheaper to write.
        values = {"sweep_id": literal(sweep.id)}
        seen = insert_new(connection, sweep_openids, values, sorted(old), plainly=plainly)
    due: Sequence[str] = ()
    if known.due or returned:
        due = list(connection.scalars(select(rows.c.openid).where(rows.c.due)))
    new = brought + known.new
    return Listed(new + seen, new, returned, due)


def _is_contradicted(clock: DatabaseClock) -> ColumnElement[bool]:
    """Return the condition of somebody about whom the list is not to be believed for now.

    WeChat's answer said that they had left while the list still had them. It may go on to list
    them, for ever or until they are back: it is believed again, and WeChat asked, once a day.
    """
    # One from the future, of before a clock was set back, says nothing of today.
    at = followers.c.list_contradicted_at
    lasts = and_(at > clock.now(-CONTRADICTED_FOR), at <= clock.now())
    return func.coalesce(lasts, false())


def _look(connection: Connection, rows: Subquery, number: int) -> _Known:
    is_new = and_(rows.c.brought, rows.c.page >= number)
    counted = (
        rows.c.gone,
        rows.c.due,
        and_(rows.c.brought, rows.c.page < number),
        is_new,
        and_(is_new, rows.c.page > number),
    )
    counts = [func.count().filter(condition) for condition in counted]
    return _Known._make(connection.execute(select(func.count(), *counts).select_from(rows)).one())


def add(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    sweep_id: int,
    number: int,
    openids: Sequence[str],
    *,
    plainly: bool = False,
) -> int:
    """Add those of a page that are not there yet; return how many that were.

    `plainly`, it is an IntegrityError if one of them is.

    Each opens a follow period: it began after the last sealed sweep, which did not list them. They
    are added in byte order, as answers are: of two transactions that add the same people, one
    waits, and neither for the other.
    """
    now = clock.now()
    values = {
        "account_id": literal(account_id),
        "subscribe": true(),
        "first_seen_at": now,
        "changed_at": now,
        "followed_after": last_sealed_at(clock, account_id),
        "followed_before": now,
        "first_sweep_id": literal(sweep_id),
        "first_page": literal(number),
    }
    return insert_new(connection, followers, values, sorted(openids), plainly=plainly)


def add_held(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    held: HeldPages,
    openids: Sequence[str],
    *,
    plainly: bool,
) -> None:
    """Add those of these whom held pages list; `plainly` as in `add`."""
    for openid in openids:
        number = held.pages.get(openid)
        if number:
            sweep_id = held.sweep_id
            added = add(connection, clock, account_id, sweep_id, number, [openid], plainly=plainly)
            if not added:  # is there already, then
                require_stored(
                    followers.name, len(get_known(connection, clock, account_id, [openid])), 1
                )


def _note_page(connection: Connection, sweep: Sweep, number: int, openids: Sequence[str]) -> None:
    """Note that it is this page that brings them."""
    statement = update(followers).where(
        followers.c.account_id == sweep.account_id,
        followers.c.openid.in_(openid_rows(connection, openids)),
        is_brought(sweep),
        or_(followers.c.first_page.is_(None), followers.c.first_page > number),
    )
    connection.execute(statement.values(first_page=number))


def forget_unstored(connection: Connection, sweep: Sweep) -> None:
    """Forget by which page somebody was brought, where that page was never stored.

    It is asked for again, and may now begin and end elsewhere.
    """
    statement = update(followers).where(
        followers.c.account_id == sweep.account_id,
        followers.c.first_sweep_id == sweep.id,
        followers.c.first_page > sweep.pages,
    )
    connection.execute(statement.values(first_page=None))


def _subscribe_again(
    connection: Connection, clock: DatabaseClock, sweep: Sweep, openids: Sequence[str]
) -> int:
    """Subscribe again those marked as gone whom this sweep has not listed before; count them.

    But for those about whom the list is not to be believed. The others are due for enrichment: only
    WeChat's answer opens another follow period, since the list may lag behind. Whom this sweep has
    brought is marked on an answer that is as new as the list.
    """
    statement = (
        update(followers)
        .where(
            followers.c.account_id == sweep.account_id,
            followers.c.openid.in_(openid_rows(connection, openids)),
            not_(is_brought(sweep)),
            not_(is_seen(sweep)),
            not_(_is_contradicted(clock)),
        )
        .values(subscribe=True, unsubscribed_at=None, enriched_at=None, changed_at=clock.now())
    )
    return connection.execute(statement).rowcount


def _stored(
    connection: Connection,
    account_id: int,
    openids: Sequence[str],
    **columns: ColumnElement[Any],
) -> Subquery:
    """Return those of the OpenIDs that are stored, with these columns, to select from.

    Each is looked up by index. PostgreSQL could be of the opinion that reading all followers is
    cheaper than looking up ten thousand, and do that for every page: so it is not told how many.
    """
    stored = select(*(column.label(name) for name, column in columns.items())).where(
        followers.c.account_id == account_id
    )
    these: ColumnElement[bool] = followers.c.openid.in_(openid_rows(connection, openids))
    if connection.dialect.name == "postgresql":
        hidden = cast(select(openid_array(openids)).scalar_subquery(), ARRAY(Text))
        these = followers.c.openid == any_(hidden)
    return stored.where(these).subquery("stored")
