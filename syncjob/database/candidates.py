"""Statements on unfollow candidates: followers that the last sealed sweep did not list.

A follower that the sealed sweeps miss, and about whom WeChat refuses to answer each time it is
asked, has left as far as can be known. The counts are in the candidate's row: they survive
crashes, and start again when a page lists them or WeChat answers about them.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from syncjob.database.conditions import is_listed_by, last_sealed_at
from syncjob.database.tables import accounts, followers, quarantine, sweeps
from syncjob.database.tables import unfollow_candidates as candidates
from syncjob.database.transactions import Transaction
from syncjob.model.sweeps import Allowance, Sweep
from syncjob.model.unfollows import SweepSealed

# A follow period ends after so many sealed sweeps that missed them, from the first of which to the
# last it is so long, when WeChat has refused after each of them.
REFUSED_SWEEPS = 3
REFUSED_SPAN = timedelta(hours=24)


def add(tx: Transaction, sweep: Sweep, allowance: Allowance) -> SweepSealed:
    """Make candidates of the subscribed that the sweep, about to be sealed, has not listed.

    More than the allowance parks them, fewer lift a parking; those that it let through once, or the
    operator, do not count again before a page lists them. Those that WeChat refused to answer about
    are asked about again only after a pause. Those of earlier sweeps that it lists are not asked
    about any more; but until WeChat's next answer about them it is unknown whether they were away
    in between, so the time when they were last known to follow is kept. To be called while the
    sweep before is still the last sealed one: that one listed the new candidates.
    """
    account_id = sweep.account_id
    absent = select(
        followers.c.account_id,
        followers.c.openid,
        literal(sweep.id),
        last_sealed_at(tx.clock, account_id),
    ).where(
        followers.c.account_id == account_id,
        followers.c.subscribe.is_(True),
        not_(is_listed_by(sweep)),
    )
    statement = tx.dialect.insert(candidates).from_select(
        ["account_id", "openid", "sweep_id", "following_at"], absent
    )
    tx.connection.execute(
        tx.dialect.or_update(
            statement, ["account_id", "openid"], {"sweep_id": sweep.id, "undecided": False}
        )
    )
    listed_again = _reset_listed_by(tx, sweep)
    _postpone_paused(tx, sweep)
    count, suspicious = tx.connection.execute(
        select(func.count(), func.count().filter(not_(candidates.c.approved))).where(
            is_to_ask(account_id)
        )
    ).one()
    parked = allowance.exceeded_by(suspicious, of=sweep.openids + count)
    if suspicious and not parked:
        approve(tx, account_id)
    since = func.coalesce(accounts.c.parked_at, tx.clock.now()) if parked else None
    tx.connection.execute(
        update(accounts).where(accounts.c.id == account_id).values(parked_at=since)
    )
    return SweepSealed(count, parked, listed_again)


def is_to_ask(account_id: int) -> ColumnElement[bool]:
    """Return the condition of a candidate to ask about, or for the operator to decide."""
    return and_(candidates.c.account_id == account_id, not_(candidates.c.undecided))


def is_unanswered(account_id: int) -> ColumnElement[bool]:
    """Return the condition of a candidate that was asked about without an answer that decides."""
    return and_(candidates.c.account_id == account_id, candidates.c.attempts > 0)


def count_to_ask(tx: Transaction, account_id: int) -> int:
    """Return how many candidates wait to be asked about, or for the operator to decide."""
    return tx.connection.execute(select(func.count()).where(is_to_ask(account_id))).scalar_one()


def count_unanswered(tx: Transaction, account_id: int) -> tuple[int, int]:
    """Return how many are unanswered, and about how many of them WeChat refused to answer."""
    asked, refused = tx.connection.execute(
        select(func.count(), func.count().filter(candidates.c.refusals > 0)).where(
            is_unanswered(account_id)
        )
    ).one()
    return asked, refused


def approve(tx: Transaction, account_id: int) -> None:
    """Do not count these candidates again before a page lists them."""
    tx.connection.execute(update(candidates).where(is_to_ask(account_id)).values(approved=True))


def reject(tx: Transaction, account_id: int) -> None:
    """Record that, as the operator says, these candidates have not left."""
    # Not deleted: that they were not listed still says when they were last known to follow.
    _reset(tx, is_to_ask(account_id))


def drop(tx: Transaction, account_id: int, openids: Sequence[str]) -> None:
    """Delete the candidates among these OpenIDs: they are decided."""
    tx.connection.execute(delete(candidates).where(_is_one_of(tx, account_id, openids)))


def reset_listed(tx: Transaction, account_id: int, openids: Sequence[str]) -> None:
    """Reset the candidates among the OpenIDs of a page: they are not missing any more.

    The time when they were last known to follow is kept until WeChat's next answer about them.
    """
    has_counts = or_(candidates.c.attempts > 0, candidates.c.approved)
    any_row = exists().where(candidates.c.account_id == account_id, has_counts)
    if not tx.connection.scalar(select(any_row)):  # nearly always
        return
    _reset_at_once(tx, account_id, and_(_is_one_of(tx, account_id, openids), has_counts))


def note_unanswered(
    tx: Transaction, account_id: int, *, silent: Sequence[str], refused: Sequence[str]
) -> None:
    """Record that these were asked about without an answer that decides.

    About the `refused` WeChat refuses to answer. Those that were not to be asked about are skipped.
    """
    begun_at = select(sweeps.c.started_at).where(sweeps.c.id == candidates.c.sweep_id)
    since = func.coalesce(candidates.c.missed_since, begun_at.scalar_subquery())
    for openids, counted in (
        (silent, {"refusals": 0, "missed_since": None}),
        (refused, {"refusals": candidates.c.refusals + 1, "missed_since": since}),
    ):
        if openids:
            asked = and_(_is_one_of(tx, account_id, openids), not_(candidates.c.undecided))
            attempts = candidates.c.attempts + 1
            tx.connection.execute(
                update(candidates).where(asked).values(undecided=True, attempts=attempts, **counted)
            )


def find_new(tx: Transaction, account_id: int, openids: Sequence[str]) -> list[str]:
    """Return which of these candidates were never asked about since a page listed them."""
    new = and_(_is_one_of(tx, account_id, openids), candidates.c.attempts == 0)
    return list(tx.connection.scalars(select(candidates.c.openid).where(new)))


def find_ended(tx: Transaction, account_id: int, openids: Sequence[str]) -> list[str]:
    """Return about which of these candidates WeChat has refused to answer for long enough."""
    if not openids:
        return []
    rows = tx.connection.execute(
        select(candidates.c.openid, candidates.c.missed_since, sweeps.c.started_at)
        .join(sweeps, sweeps.c.id == candidates.c.sweep_id)
        .where(
            _is_one_of(tx, account_id, openids),
            candidates.c.refusals >= REFUSED_SWEEPS,
            candidates.c.missed_since.is_not(None),
        )
    )
    return [openid for openid, since, until in rows if until - since >= REFUSED_SPAN]


def _is_one_of(tx: Transaction, account_id: int, openids: Sequence[str]) -> ColumnElement[bool]:
    listed = candidates.c.openid.in_(tx.dialect.openid_rows(openids))
    return and_(candidates.c.account_id == account_id, listed)


def _reset_listed_by(tx: Transaction, sweep: Sweep) -> int:
    """Reset the candidates that the sweep, about to be sealed, has listed; return how many.

    Not all were reset with their page: some were still parked when it was stored.
    """
    is_active = or_(not_(candidates.c.undecided), candidates.c.attempts > 0, candidates.c.approved)
    listed = and_(
        candidates.c.account_id == sweep.account_id, candidates.c.sweep_id != sweep.id, is_active
    )
    return _reset_at_once(tx, sweep.account_id, listed)


def _reset_at_once(tx: Transaction, account_id: int, condition: ColumnElement[bool]) -> int:
    """Reset these candidates and end their pauses: that they are listed is news."""
    asked = select(candidates.c.openid).where(condition, candidates.c.attempts > 0)
    tx.connection.execute(
        quarantine.delete().where(
            quarantine.c.account_id == account_id, quarantine.c.openid.in_(asked)
        )
    )
    return _reset(tx, condition)


def _reset(tx: Transaction, condition: ColumnElement[bool]) -> int:
    zero = {"attempts": 0, "refusals": 0, "missed_since": None, "approved": False}
    return tx.connection.execute(
        update(candidates).where(condition).values(undecided=True, **zero)
    ).rowcount


def _postpone_paused(tx: Transaction, sweep: Sweep) -> None:
    """Do not ask again about those that the sweep missed, too, before their pause is over.

    Except those whose follow period may end if WeChat refuses this time.
    """
    paused = exists().where(
        quarantine.c.account_id == candidates.c.account_id,
        quarantine.c.openid == candidates.c.openid,
        quarantine.c.next_try_at > tx.clock.now(),
    )
    decides = and_(
        candidates.c.refusals >= REFUSED_SWEEPS - 1,
        func.coalesce(candidates.c.missed_since <= sweep.started_at - REFUSED_SPAN, False),
    )
    tx.connection.execute(
        update(candidates)
        .where(
            candidates.c.account_id == sweep.account_id,
            candidates.c.sweep_id == sweep.id,
            candidates.c.attempts > 0,
            paused,
            not_(decides),
        )
        .values(undecided=True)
    )
