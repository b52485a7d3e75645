"""Statements that store one page of the follower list. Each runs inside a store's transaction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Subquery,
    func,
    literal,
    select,
    true,
    update,
)

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert_new, openid_rows
from syncjob.database.followers import is_due, is_seen, last_sealed_at
from syncjob.database.tables import followers, sweep_openids
from syncjob.model import Sweep


class Listed(NamedTuple):
    """What a page changed: counts as in PageSaved, and who is due to be asked about."""

    fresh: int
    new: int
    returned: int
    due: Sequence[str]


def has_seen(connection: Connection, sweep: Sweep, openid: str) -> bool:
    """Tell whether a page of this sweep has listed the OpenID."""
    statement = select(followers.c.openid).where(
        followers.c.account_id == sweep.account_id,
        followers.c.openid == openid,
        is_seen(sweep.id),
    )
    return connection.scalar(statement) is not None


def save(
    connection: Connection, clock: DatabaseClock, sweep: Sweep, openids: Sequence[str]
) -> Listed:
    """Add those that are new, subscribe those that returned, and remember whom the sweep has seen.

    One look at what is stored spares the page of an old account most of that.
    """
    account_id = sweep.account_id
    known = _stored(
        connection,
        account_id,
        openids,
        openid=followers.c.openid,
        gone=followers.c.subscribe.is_(False),
        due=is_due(clock, account_id),
        brought=followers.c.first_sweep_id.is_not_distinct_from(sweep.id),
    )
    count, gone, due, brought = connection.execute(
        select(
            func.count(),
            func.count().filter(known.c.gone),
            func.count().filter(known.c.due),
            func.count().filter(known.c.brought),
        ).select_from(known)
    ).one()
    new = returned = 0
    if count < len(openids):
        new = _add(connection, clock, sweep, openids)
    if count == 0:
        return Listed(new, new, 0, openids)
    if gone:
        those = list(connection.scalars(select(known.c.openid).where(known.c.gone)))
        returned = _subscribe_again(connection, clock, sweep, those)
    old = openids
    if brought or count < len(openids):
        old = list(connection.scalars(select(known.c.openid).where(~known.c.brought)))
    seen = insert_new(connection, sweep_openids, {"sweep_id": literal(sweep.id)}, old)
    if due + new + returned:
        # Asked again: now the new ones are there too.
        openids = list(connection.scalars(select(known.c.openid).where(known.c.due)))
    return Listed(new + seen, new, returned, openids if due + new + returned else ())


def _add(connection: Connection, clock: DatabaseClock, sweep: Sweep, openids: Sequence[str]) -> int:
    """Add those that are not there yet; return how many that were.

    Each opens a follow period: it began after the last sealed sweep, which did not list them.
    """
    now = clock.now()
    values = {
        "account_id": literal(sweep.account_id),
        "subscribe": true(),
        "first_seen_at": now,
        "changed_at": now,
        "followed_after": last_sealed_at(clock, sweep.account_id),
        "followed_before": now,
        "first_sweep_id": literal(sweep.id),
    }
    return insert_new(connection, followers, values, openids)


def _subscribe_again(
    connection: Connection, clock: DatabaseClock, sweep: Sweep, openids: Sequence[str]
) -> int:
    """Subscribe again those marked as gone whom this sweep has not listed before; count them.

    They are due for enrichment: only WeChat's answer opens another follow period, since the list
    may lag behind.
    """
    statement = (
        update(followers)
        .where(
            followers.c.account_id == sweep.account_id,
            followers.c.openid.in_(openid_rows(connection, openids)),
            ~is_seen(sweep.id),
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

    Each is looked up by itself. PostgreSQL could be of the opinion that reading all followers is
    cheaper than looking up ten thousand, and do that for every page.
    """
    stored = select(*(column.label(name) for name, column in columns.items())).where(
        followers.c.account_id == account_id
    )
    rows = openid_rows(connection, openids)
    if connection.dialect.name != "postgresql":
        return stored.where(followers.c.openid.in_(rows)).subquery("stored")
    listed = rows.subquery("listed")
    one = stored.where(followers.c.openid == listed.c[0]).limit(1).lateral("one")
    return select(one).select_from(listed.join(one, true())).subquery("stored")
