"""Statements on follow periods: where an answer opens another one, the one before is archived."""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, literal, or_, select

from syncjob.database.dialects.base import Staged
from syncjob.database.staging import look_up, staged_profiles
from syncjob.database.tables import followers, past_follow_periods, sweeps, unfollow_candidates
from syncjob.database.transactions import Transaction


def is_return(answered: Any) -> ColumnElement[bool]:
    """Return the condition of an answer that is of another follow period than the stored one.

    `subscribe_time` is that of the last follow. Without one, a follower that was marked as gone and
    follows again has returned; with the old one, they had never left.
    """
    unknown = or_(answered.subscribe_time.is_(None), followers.c.subscribe_time.is_(None))
    return or_(
        and_(followers.c.unfollowed_before.is_not(None), unknown),
        func.coalesce(answered.subscribe_time > followers.c.subscribe_time, literal(False)),
    )


def archive(tx: Transaction, staged: Staged, account_id: int, *, confirmed: bool) -> None:
    """Archive the periods that ended: as recorded, or else when the new one began."""
    stored = select(is_return(staged_profiles.c)).where(
        followers.c.account_id == account_id,
        followers.c.openid == staged_profiles.c.openid,
        or_(followers.c.subscribe, literal(confirmed)),
    )
    when = ("openid", "subscribe_time")
    statement = select(staged_profiles.c.openid).where(look_up(stored).is_(True))
    returned = list(staged.execute(statement, columns=when).scalars())
    if not returned:
        return
    candidate = (
        select(unfollow_candidates.c.following_at)
        .where(
            unfollow_candidates.c.account_id == followers.c.account_id,
            unfollow_candidates.c.openid == followers.c.openid,
        )
        .correlate(followers)
    )
    # The last sealed sweep that was over before they came back listed them, unless it, or one
    # before it, missed them: `following_at` is of the last one that did not.
    following_at = (
        select(sweeps.c.started_at)
        .where(
            sweeps.c.account_id == account_id,
            sweeps.c.status == "sealed",
            sweeps.c.finished_at < staged_profiles.c.subscribe_time,
            or_(~candidate.exists(), sweeps.c.started_at <= candidate.scalar_subquery()),
        )
        .order_by(sweeps.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    ended = select(
        followers.c.account_id,
        followers.c.openid,
        followers.c.followed_after,
        followers.c.followed_before,
        case(
            (followers.c.unfollowed_before.is_not(None), followers.c.unfollowed_after),
            else_=tx.dialect.later(following_at, followers.c.followed_after),
        ),
        func.coalesce(followers.c.unfollowed_before, staged_profiles.c.subscribe_time),
        func.coalesce(followers.c.unsubscribe_reason, literal("answered")),
    ).where(
        followers.c.account_id == account_id,
        followers.c.openid == staged_profiles.c.openid,
        followers.c.openid.in_(tx.dialect.openid_rows(returned)),
        staged_profiles.c.openid.in_(tx.dialect.openid_rows(returned)),
    )
    columns = ["account_id", "openid", "followed_after", "followed_before"]
    columns += ["unfollowed_after", "unfollowed_before", "unsubscribe_reason"]
    staged.execute(insert(past_follow_periods).from_select(columns, ended), columns=when)
