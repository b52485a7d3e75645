"""Whom to ask about, and conditions that other statements need. Each runs in a transaction."""

from datetime import datetime, timedelta
from itertools import zip_longest
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from syncjob.database.clock import DatabaseClock
from syncjob.database.tables import (
    IS_NEVER_ENRICHED,
    accounts,
    followers,
    quarantine,
    sweep_openids,
    sweeps,
    unfollow_candidates,
)
from syncjob.model import Sweep, common_prefix

CONTROLS = 4  # people, from each end of the OpenIDs
# How many rows show whether profiles of before an account was bound lack their unionid, and from
# how many on it is not single ones, which batchget leaves out at times.
SAMPLE = 1_000
FEW, FEW_SHARE = 3, 0.01


def is_brought(sweep: Sweep) -> ColumnElement[bool]:
    """Return the condition of a follower who was not known before the sweep."""
    return func.coalesce(followers.c.first_sweep_id == sweep.id, false())


def is_seen(sweep: Sweep) -> ColumnElement[bool]:
    """Return the condition of a follower whom a stored page of the sweep has listed."""
    return or_(
        and_(is_brought(sweep), func.coalesce(followers.c.first_page <= sweep.pages, false())),
        exists().where(
            sweep_openids.c.sweep_id == sweep.id, sweep_openids.c.openid == followers.c.openid
        ),
    )


def is_unenriched(account_id: int) -> ColumnElement[bool]:
    """Return the condition of a row that batchget is still to be asked about.

    Whoever was enriched before a backfill is, until that is over.
    """
    due_before = (
        select(accounts.c.backfill_started_at)
        .where(accounts.c.id == account_id, accounts.c.backfill_finished_at.is_(None))
        .scalar_subquery()
    )
    return and_(
        followers.c.subscribe.is_(True),
        or_(followers.c.enriched_at.is_(None), followers.c.enriched_at < due_before),
    )


def find_one(connection: Connection, account_id: int) -> str | None:
    """Return the OpenID of somebody, if there is anybody."""
    openid: str | None = connection.scalar(
        select(followers.c.openid)
        .where(followers.c.account_id == account_id)
        # Else PostgreSQL may read all of another account's rows before one of this one's.
        .order_by(followers.c.openid)
        .limit(1)
    )
    return openid


def get_prefix(connection: Connection, account_id: int) -> str | None:
    """Return how all stored OpenIDs of the account begin, None if they differ or there are none."""
    openids = select(followers.c.openid).where(_is_of(account_id)).limit(1)
    first, last = (
        connection.scalar(openids.order_by(end))
        for end in (followers.c.openid.asc(), followers.c.openid.desc())
    )
    return None if first is None or last is None else common_prefix(first, last)


def count_subscribed(connection: Connection, account_id: int, limit: int) -> int:
    """Count the subscribed followers, up to `limit`."""
    some = select(literal(1)).where(_is_of(account_id), followers.c.subscribe.is_(True))
    counted = some.select_from(followers).limit(limit).subquery()
    return connection.scalar(select(func.count()).select_from(counted)) or 0


def _is_of(account_id: int) -> ColumnElement[bool]:
    return followers.c.account_id == account_id


def leave_due(connection: Connection, account_id: int) -> None:
    """Leave due whom a backfill, about to end, has not got a profile of.

    So that a run between two sweeps finds all who are due by the index of those never enriched.
    """
    connection.execute(
        update(followers)
        .where(
            followers.c.account_id == account_id,
            is_unenriched(account_id),
            followers.c.enriched_at.is_not(None),
        )
        .values(enriched_at=None)
    )


def get_controls(connection: Connection, account_id: int) -> list[str]:
    """Return a few who follow, from either end of the OpenIDs, those with a profile first.

    Nobody who is in quarantine, or a candidate.
    """
    these = select(followers.c.enriched_at.is_(None), followers.c.openid).where(
        followers.c.account_id == account_id,
        followers.c.subscribe.is_(True),
        not_(_is_quarantined()),
        not_(_is_candidate()),
    )
    ends = (followers.c.openid.asc(), followers.c.openid.desc())
    first, last = [connection.execute(these.order_by(end).limit(CONTROLS)).all() for end in ends]
    # By turns from both ends, whatever is the matter with those at one of them.
    by_turns = [row for pair in zip_longest(first, last) for row in pair if row is not None]
    by_turns.sort(key=itemgetter(0))
    return list(dict.fromkeys(openid for _, openid in by_turns))[:CONTROLS]


def lack_unionids(connection: Connection, account_id: int) -> bool:
    """Tell whether more than single followers have a profile without a unionid.

    Looks at the first thousand OpenIDs only: their order has nothing to do with time.
    """
    some = (
        select(followers.c.unionid, followers.c.enriched_at, followers.c.subscribe)
        .where(followers.c.account_id == account_id)
        .order_by(followers.c.openid)
        .limit(SAMPLE)
        .subquery()
    )
    has_profile = and_(some.c.subscribe, some.c.enriched_at.is_not(None))
    lacks = and_(has_profile, func.coalesce(some.c.unionid, "") == "")
    counts = (func.count().filter(has_profile), func.count().filter(lacks))
    profiles, lacking = connection.execute(select(*counts).select_from(some)).one()
    return bool(lacking >= FEW and lacking >= profiles * FEW_SHARE)


def get_unenriched(
    connection: Connection, clock: DatabaseClock, account_id: int, after: str, limit: int
) -> list[str]:
    """Return the next unenriched OpenIDs behind `after`, in byte order, without those to wait."""
    statement = (
        select(followers.c.openid)
        .where(
            followers.c.account_id == account_id,
            followers.c.openid > after,
            is_unenriched_now(connection, account_id),
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
    behind: tuple[str, datetime] | None,
    limit: int,
) -> list[tuple[str, datetime]]:
    """Return those whose profile is older than `refresh_after`, with its time, the oldest first."""
    statement = (
        select(followers.c.openid, followers.c.enriched_at)
        .where(*_is_stale(clock, account_id, refresh_after))
        .order_by(followers.c.enriched_at, followers.c.openid)
        .limit(limit)
    )
    if behind is not None:
        openid, enriched_at = behind
        later = and_(followers.c.enriched_at == enriched_at, followers.c.openid > openid)
        statement = statement.where(or_(followers.c.enriched_at > enriched_at, later))
    return [(openid, at) for openid, at in connection.execute(statement)]


def count_unenriched(connection: Connection, clock: DatabaseClock, account_id: int) -> int:
    """Count the unenriched, without those to wait."""
    due = (
        followers.c.account_id == account_id,
        is_unenriched_now(connection, account_id),
        ~_waits(clock),
    )
    return connection.scalar(select(func.count()).select_from(followers).where(*due)) or 0


def count_stale(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    refresh_after: timedelta,
    limit: int,
) -> int:
    """Count those whose profile is older than `refresh_after`, up to `limit`."""
    stale = select(followers.c.openid).where(*_is_stale(clock, account_id, refresh_after))
    return connection.scalar(select(func.count()).select_from(stale.limit(limit).subquery())) or 0


def _is_stale(
    clock: DatabaseClock, account_id: int, refresh_after: timedelta
) -> tuple[ColumnElement[bool], ...]:
    return (
        followers.c.account_id == account_id,
        followers.c.subscribe.is_(True),
        followers.c.enriched_at < clock.now(-refresh_after),
        ~_waits(clock),
    )


def backfill_started_at(account_id: int | ColumnElement[int]) -> ColumnElement[Any]:
    """Return when the account's last backfill began, as a subquery; NULL if there was none."""
    return (
        select(accounts.c.backfill_started_at).where(accounts.c.id == account_id).scalar_subquery()
    )


def is_unenriched_now(connection: Connection, account_id: int) -> ColumnElement[bool]:
    """Return the condition of an unenriched row in the shortest words.

    While no backfill is under way these are few, and in an index of their own; while one is, all
    rows are read.
    """
    backfilling = connection.scalar(
        select(accounts.c.id).where(
            accounts.c.id == account_id,
            accounts.c.backfill_started_at.is_not(None),
            accounts.c.backfill_finished_at.is_(None),
        )
    )
    return IS_NEVER_ENRICHED if backfilling is None else is_unenriched(account_id)


def last_sealed_at(clock: DatabaseClock, account_id: int) -> ColumnElement[Any]:
    """Return when the account's last sealed sweep began, as a subquery; NULL if there was none.

    One from the future, of before a clock was set back, says nothing of today.
    """
    return (
        select(sweeps.c.started_at)
        .where(
            sweeps.c.account_id == account_id,
            sweeps.c.status == "sealed",
            sweeps.c.started_at <= clock.now(),
        )
        .order_by(sweeps.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def is_due(clock: DatabaseClock, account_id: int) -> ColumnElement[bool]:
    """Return the condition of a row that is to be asked about now."""
    return and_(is_unenriched(account_id), ~_waits(clock))


def _waits(clock: DatabaseClock) -> ColumnElement[bool]:
    """In quarantine, or a candidate: those are asked about apart, and not at all while parked.

    A candidate who was asked about in vain stays one, until a page lists them.
    """
    return or_(_is_quarantined(quarantine.c.next_try_at > clock.now()), _is_candidate())


def _is_quarantined(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        quarantine.c.account_id == followers.c.account_id,
        quarantine.c.openid == followers.c.openid,
        *conditions,
    )


def _is_candidate() -> ColumnElement[bool]:
    return exists().where(
        unfollow_candidates.c.account_id == followers.c.account_id,
        unfollow_candidates.c.openid == followers.c.openid,
        or_(not_(unfollow_candidates.c.undecided), unfollow_candidates.c.attempts > 0),
    )
