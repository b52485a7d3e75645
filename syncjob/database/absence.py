"""Statements on what speaks for an end of following where WeChat's word is not to be had.

Somebody whom the sealed sweeps miss, and about whom WeChat refuses to speak each time it is asked,
has left as far as anybody can know. The count is kept with the candidate: it survives crashes, and
begins again when they are listed, or answered about.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, exists, func, not_, or_, select, update

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import openid_rows
from syncjob.database.tables import quarantine, sweeps
from syncjob.database.tables import unfollow_candidates as candidates
from syncjob.model import Sweep, Unanswered

# A follow period ends after so many sealed sweeps that missed them, from the first of which to the
# last it is so long, when WeChat has refused after each of them.
REFUSED_SWEEPS = 3
REFUSED_SPAN = timedelta(hours=24)


def is_of(connection: Connection, account_id: int, openids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition of a candidate who is one of these."""
    listed = candidates.c.openid.in_(openid_rows(connection, openids))
    return and_(candidates.c.account_id == account_id, listed)


def forget_listed(connection: Connection, account_id: int, openids: Sequence[str]) -> None:
    """Begin again with those of these whom a page lists: they are not missing any more.

    When they were last known to follow is kept, until WeChat's next answer about them.
    """
    has_begun = or_(candidates.c.attempts > 0, candidates.c.approved)
    anybody = exists().where(candidates.c.account_id == account_id, has_begun)
    if not connection.scalar(select(anybody)):  # as nearly always
        return
    _forget(connection, account_id, and_(is_of(connection, account_id, openids), has_begun))


def forget_listed_by(connection: Connection, sweep: Sweep) -> int:
    """Begin again with those whom the sweep, about to be sealed, has listed; return how many.

    A page may have listed them before they were asked about: somebody who was parked then.
    """
    is_waiting = or_(not_(candidates.c.undecided), candidates.c.attempts > 0, candidates.c.approved)
    these = and_(
        candidates.c.account_id == sweep.account_id, candidates.c.sweep_id != sweep.id, is_waiting
    )
    return _forget(connection, sweep.account_id, these)


def _forget(connection: Connection, account_id: int, these: ColumnElement[bool]) -> int:
    # That they are listed is news, and not to wait for.
    waiting = select(candidates.c.openid).where(these, candidates.c.attempts > 0)
    connection.execute(
        quarantine.delete().where(
            quarantine.c.account_id == account_id, quarantine.c.openid.in_(waiting)
        )
    )
    return _begin_again(connection, these)


def reject(connection: Connection, account_id: int) -> None:
    """The operator says that those who are to be asked about have not left."""
    # Not deleted: that they were not listed still says when they were last known to follow.
    _begin_again(
        connection, and_(candidates.c.account_id == account_id, not_(candidates.c.undecided))
    )


def let_wait(connection: Connection, clock: DatabaseClock, sweep: Sweep) -> None:
    """Do not ask again about those whom the sweep, too, has missed before their pause is over.

    But for those whose period may end if WeChat refuses this time.
    """
    paused = exists().where(
        quarantine.c.account_id == candidates.c.account_id,
        quarantine.c.openid == candidates.c.openid,
        quarantine.c.next_try_at > clock.now(),
    )
    decides = and_(
        candidates.c.refusals >= REFUSED_SWEEPS - 1,
        func.coalesce(candidates.c.missed_since <= sweep.started_at - REFUSED_SPAN, False),
    )
    connection.execute(
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


def note_unanswered(
    connection: Connection,
    account_id: int,
    *,
    silent: Sequence[str],
    refused: Sequence[str],
) -> None:
    """Note that these were asked about without an answer that decides.

    Of the `refused` WeChat refuses to speak. Whoever was not to be asked about is passed over.
    """
    begun_at = select(sweeps.c.started_at).where(sweeps.c.id == candidates.c.sweep_id)
    since = func.coalesce(candidates.c.missed_since, begun_at.scalar_subquery())
    for openids, counted in (
        (silent, {"refusals": 0, "missed_since": None}),
        (refused, {"refusals": candidates.c.refusals + 1, "missed_since": since}),
    ):
        if openids:
            these = and_(is_of(connection, account_id, openids), not_(candidates.c.undecided))
            asked = update(candidates).where(these)
            connection.execute(
                asked.values(undecided=True, attempts=candidates.c.attempts + 1, **counted)
            )


def get_new(connection: Connection, account_id: int, openids: Sequence[str]) -> list[str]:
    """Return those of these candidates who had never been asked about since they were listed."""
    these = and_(is_of(connection, account_id, openids), candidates.c.attempts == 0)
    return list(connection.scalars(select(candidates.c.openid).where(these)))


def get_ended(connection: Connection, account_id: int, openids: Sequence[str]) -> list[str]:
    """Return those of these candidates about whom WeChat has refused to speak for long enough."""
    if not openids:
        return []
    rows = connection.execute(
        select(candidates.c.openid, candidates.c.missed_since, sweeps.c.started_at)
        .join(sweeps, sweeps.c.id == candidates.c.sweep_id)
        .where(
            is_of(connection, account_id, openids),
            candidates.c.refusals >= REFUSED_SWEEPS,
            candidates.c.missed_since.is_not(None),
        )
    )
    return [openid for openid, since, until in rows if until - since >= REFUSED_SPAN]


def count(connection: Connection, account_id: int) -> tuple[int, int]:
    """Return how many were asked about without an answer that decides, and how many refused."""
    asked, refused = connection.execute(
        select(func.count(), func.count().filter(candidates.c.refusals > 0)).where(
            candidates.c.account_id == account_id, candidates.c.attempts > 0
        )
    ).one()
    return asked, refused


def get_unanswered(connection: Connection, account_id: int, limit: int) -> list[Unanswered]:
    """Return some of those who were asked about in vain, in byte order of their OpenIDs."""
    rows = connection.execute(
        select(
            candidates.c.openid,
            candidates.c.following_at,
            candidates.c.missed_since,
            candidates.c.attempts,
            candidates.c.refusals,
            quarantine.c.errcode,
            quarantine.c.next_try_at,
        )
        .outerjoin(
            quarantine,
            and_(
                quarantine.c.account_id == candidates.c.account_id,
                quarantine.c.openid == candidates.c.openid,
            ),
        )
        .where(candidates.c.account_id == account_id, candidates.c.attempts > 0)
        .order_by(candidates.c.openid)
        .limit(limit)
    )
    return [Unanswered(*row) for row in rows]


def _begin_again(connection: Connection, these: ColumnElement[bool]) -> int:
    nothing = {"attempts": 0, "refusals": 0, "missed_since": None, "approved": False}
    return connection.execute(
        update(candidates).where(these).values(undecided=True, **nothing)
    ).rowcount
