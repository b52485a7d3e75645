"""Statements on who is listed, and on whom to ask about. Each runs inside a store's transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert_new, openid_rows
from syncjob.database.tables import (
    accounts,
    followers,
    quarantine,
    sweep_openids,
    sweeps,
    unfollow_candidates,
)


def add(
    connection: Connection, clock: DatabaseClock, account_id: int, openids: Sequence[str]
) -> int:
    """Add those that are not there yet; return how many that were.

    Each opens a follow period: it began after the last sealed sweep, which did not list them.
    """
    now = clock.now()
    values = {
        "account_id": literal(account_id),
        "subscribe": true(),
        "first_seen_at": now,
        "changed_at": now,
        "followed_after": last_sealed_at(account_id),
        "followed_before": now,
    }
    return insert_new(connection, followers, values, openids)


def subscribe_again(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    sweep_id: int,
    openids: Sequence[str],
) -> int:
    """Subscribe again those marked as gone whom this sweep has not listed before; count them.

    They are due for enrichment: only WeChat's answer opens another follow period, since the list
    may lag behind.
    """
    listed_before = exists().where(
        sweep_openids.c.sweep_id == sweep_id, sweep_openids.c.openid == followers.c.openid
    )
    statement = (
        update(followers)
        .where(
            followers.c.account_id == account_id,
            followers.c.subscribe.is_(False),
            followers.c.openid.in_(openid_rows(connection, openids)),
            ~listed_before,
        )
        .values(subscribe=True, unsubscribed_at=None, enriched_at=None, changed_at=clock.now())
    )
    return connection.execute(statement).rowcount


def is_unenriched(due_before: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition of a row that batchget is still to be asked about."""
    return and_(
        followers.c.subscribe.is_(True),
        or_(followers.c.enriched_at.is_(None), followers.c.enriched_at < due_before),
    )


def get_unenriched(
    connection: Connection, clock: DatabaseClock, account_id: int, after: str, limit: int
) -> list[str]:
    """Return the next unenriched OpenIDs behind `after`, in byte order, without those to wait."""
    statement = (
        select(followers.c.openid)
        .where(
            followers.c.account_id == account_id,
            followers.c.openid > after,
            is_unenriched(backfill_started_at(account_id)),
            ~_waits(clock),
        )
        .order_by(followers.c.openid)
        .limit(limit)
    )
    return list(connection.scalars(statement))


def get_stale(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    refresh_after: timedelta,
    limit: int,
) -> list[str]:
    """Return those whose profile is older than `refresh_after`, the oldest first."""
    statement = (
        select(followers.c.openid)
        .where(
            followers.c.account_id == account_id,
            followers.c.subscribe.is_(True),
            followers.c.enriched_at < clock.now(-refresh_after),
            ~_waits(clock),
        )
        .order_by(followers.c.enriched_at)
        .limit(limit)
    )
    return list(connection.scalars(statement))


def backfill_started_at(account_id: int) -> ColumnElement[Any]:
    """Return when the account's last backfill began, as a subquery; NULL if there was none."""
    return (
        select(accounts.c.backfill_started_at).where(accounts.c.id == account_id).scalar_subquery()
    )


def last_sealed_at(account_id: int) -> ColumnElement[Any]:
    """Return when the account's last sealed sweep began, as a subquery; NULL if there was none."""
    return (
        select(sweeps.c.started_at)
        .where(sweeps.c.account_id == account_id, sweeps.c.status == "sealed")
        .order_by(sweeps.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _waits(clock: DatabaseClock) -> ColumnElement[bool]:
    """In quarantine, or a candidate: those are asked about apart, and not at all while parked."""
    quarantined = exists().where(
        quarantine.c.account_id == followers.c.account_id,
        quarantine.c.openid == followers.c.openid,
        quarantine.c.next_try_at > clock.now(),
    )
    candidate = exists().where(
        unfollow_candidates.c.account_id == followers.c.account_id,
        unfollow_candidates.c.openid == followers.c.openid,
        not_(unfollow_candidates.c.undecided),
    )
    return or_(quarantined, candidate)
