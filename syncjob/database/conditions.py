"""Conditions on followers that several statements share."""

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, func, not_, or_, select

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
from syncjob.database.transactions import Transaction
from syncjob.model.sweeps import Sweep


def is_added_by(sweep: Sweep) -> ColumnElement[bool]:
    """Return the condition of a follower that the sweep added."""
    return func.coalesce(followers.c.first_sweep_id == sweep.id, false())


def is_listed_by(sweep: Sweep) -> ColumnElement[bool]:
    """Return the condition of a follower that a stored page of the sweep lists."""
    return or_(
        and_(is_added_by(sweep), func.coalesce(followers.c.first_page <= sweep.pages, false())),
        exists().where(
            sweep_openids.c.sweep_id == sweep.id, sweep_openids.c.openid == followers.c.openid
        ),
    )


def is_unenriched(account_id: int) -> ColumnElement[bool]:
    """Return the condition of a row that needs a profile.

    While a backfill is open, that includes rows that were enriched before it began.
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


def backfill_started_at(account_id: int | ColumnElement[int]) -> ColumnElement[Any]:
    """Return when the account's last backfill began, as a subquery; NULL if there was none."""
    return (
        select(accounts.c.backfill_started_at).where(accounts.c.id == account_id).scalar_subquery()
    )


def is_unenriched_now(tx: Transaction, account_id: int) -> ColumnElement[bool]:
    """Return the condition of a row that needs a profile, as simple as it can be now.

    While no backfill is open these rows are few, and in an index of their own; while one is, all
    rows are read.
    """
    backfilling = tx.connection.scalar(
        select(accounts.c.id).where(
            accounts.c.id == account_id,
            accounts.c.backfill_started_at.is_not(None),
            accounts.c.backfill_finished_at.is_(None),
        )
    )
    return IS_NEVER_ENRICHED if backfilling is None else is_unenriched(account_id)


def last_sealed_at(clock: DatabaseClock, account_id: int) -> ColumnElement[Any]:
    """Return when the account's last sealed sweep began, as a subquery; NULL if there was none.

    A sweep in the future is from before a clock was set back, and says nothing of today.
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
    """Return the condition of a row that is to be enriched now."""
    return and_(is_unenriched(account_id), ~is_waiting(clock))


def is_waiting(clock: DatabaseClock) -> ColumnElement[bool]:
    """Return the condition of a follower in quarantine, or of a candidate.

    Candidates are asked about separately, and not at all while they are parked. One that WeChat
    gave no answer about stays a candidate until a page lists it.
    """
    return or_(is_quarantined(quarantine.c.next_try_at > clock.now()), is_candidate())


def is_quarantined(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition of a follower whose row in quarantine meets the conditions."""
    return exists().where(
        quarantine.c.account_id == followers.c.account_id,
        quarantine.c.openid == followers.c.openid,
        *conditions,
    )


def is_candidate() -> ColumnElement[bool]:
    """Return the condition of a follower that is an unfollow candidate."""
    return exists().where(
        unfollow_candidates.c.account_id == followers.c.account_id,
        unfollow_candidates.c.openid == followers.c.openid,
        or_(not_(unfollow_candidates.c.undecided), unfollow_candidates.c.attempts > 0),
    )
