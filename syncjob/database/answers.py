"""Statements that store WeChat's answers: profiles, and who is gone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, false, func, or_, select, update

from syncjob.database import candidates, profiles, quarantine
from syncjob.database.clock import DatabaseClock
from syncjob.database.conditions import last_sealed_at
from syncjob.database.tables import followers, runs, sweeps, unfollow_candidates
from syncjob.database.transactions import Transaction
from syncjob.model.answers import Answers, UnionidConflict
from syncjob.model.sweeps import HeldPages
from syncjob.model.unfollows import UnsubscribeReason


class Saved(NamedTuple):
    """What was stored: how many profiles and unfollows, and which answers were left out."""

    conflicts: list[UnionidConflict]
    profiles: int
    unfollowed: int


def save(
    tx: Transaction,
    account_id: int,
    answers: Answers,
    held: HeldPages,
    *,
    confirmed: bool,
    assume_new: bool = False,
    contradicts_list: ColumnElement[bool] | None = None,
) -> Saved:
    """Store the profiles and unfollows of the answers; see `profiles.save` and `mark_gone`."""
    following = answers.following
    conflicts = profiles.save(
        tx, account_id, following, held, confirmed=confirmed, assume_new=assume_new
    )
    stored = len(following)
    if conflicts:
        contested = {conflict.openid for conflict in conflicts}
        stored = sum(info.openid not in contested for info in following)
    unfollowed = mark_gone(tx, account_id, answers.gone, contradicts_list=contradicts_list)
    return Saved(conflicts, stored, unfollowed)


def is_while_listing(account_id: int, run_id: int) -> ColumnElement[bool]:
    """Return the condition that the run reads the list, or has read it."""
    started_at = select(runs.c.started_at).where(runs.c.id == run_id).scalar_subquery()
    read = or_(sweeps.c.finished_at.is_(None), sweeps.c.finished_at >= started_at)
    return exists().where(sweeps.c.account_id == account_id, read)


def mark_gone(
    tx: Transaction,
    account_id: int,
    openids: Sequence[str],
    *,
    reason: UnsubscribeReason = "answered",
    contradicts_list: ColumnElement[bool] | None = None,
) -> int:
    """Mark these followers as gone, for that reason; return how many rows changed.

    `answered`: user/info said `subscribe: 0` just now; `refused`: see `candidates`. The follow
    period ends between the last sweep that listed them and now. A follower that was only listed
    again, and never confirmed, gets the end back that was known; but an end that stands on refusals
    gives way to an answer, since they may have followed until now. Where the answer
    `contradicts_list`, that is recorded, so that the list is not believed again at once.
    """
    if not openids:
        return 0
    quarantine.let_out(tx, account_id, openids)
    ended = followers.c.unfollowed_before.is_not(None)
    known_end: ColumnElement[Any] = followers.c.unfollowed_before
    if reason == "answered":
        known_end = case((followers.c.unsubscribe_reason == reason, known_end), else_=None)
    unfollowed_after = tx.dialect.later(
        _last_listed_at(tx.clock, account_id), followers.c.followed_after
    )
    statement = (
        update(followers)
        .where(
            followers.c.account_id == account_id,
            followers.c.subscribe.is_(True),
            followers.c.openid.in_(tx.dialect.openid_rows(openids)),
        )
        .values(
            subscribe=False,
            unsubscribed_at=func.coalesce(known_end, tx.clock.now()),
            unfollowed_after=case(
                (ended, followers.c.unfollowed_after),
                # An instant in the future is from before a clock was set back.
                (unfollowed_after <= tx.clock.now(), unfollowed_after),
                else_=None,
            ),
            unfollowed_before=func.coalesce(known_end, tx.clock.now()),
            list_contradicted_at=case(
                (false() if contradicts_list is None else contradicts_list, tx.clock.now()),
                else_=None,
            ),
            changed_at=tx.clock.now(),
            **_values_of(reason, tx.clock),
        )
    )
    count = tx.connection.execute(statement).rowcount
    candidates.drop(tx, account_id, openids)
    return count


def _last_listed_at(clock: DatabaseClock, account_id: int) -> ColumnElement[Any]:
    """Return when a follower was last known to follow by a sweep, as a subquery."""
    candidate = and_(
        unfollow_candidates.c.account_id == followers.c.account_id,
        unfollow_candidates.c.openid == followers.c.openid,
    )
    following_at = select(unfollow_candidates.c.following_at).where(candidate).scalar_subquery()
    return case((exists().where(candidate), following_at), else_=last_sealed_at(clock, account_id))


def _values_of(reason: UnsubscribeReason, clock: DatabaseClock) -> dict[str, Any]:
    if reason == "answered":
        return {"unsubscribe_reason": reason, "enriched_at": clock.now()}
    # An answer about an end that is known already says more than a refusal.
    return {"unsubscribe_reason": func.coalesce(followers.c.unsubscribe_reason, reason)}
