"""Statements on who is gone: candidates, what was found out about them, and the marking itself."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    not_,
    select,
    update,
)

from syncjob.database import absence
from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert, later, openid_rows
from syncjob.database.followers import is_seen, last_sealed_at
from syncjob.database.tables import accounts, followers
from syncjob.database.tables import unfollow_candidates as candidates
from syncjob.model import Allowance, Candidate, Sweep, SweepSealed, UnsubscribeReason


def add_candidates(
    connection: Connection, clock: DatabaseClock, sweep: Sweep, allowance: Allowance
) -> SweepSealed:
    """Make candidates of the subscribed whom the sweep, about to be sealed, has not listed.

    More than the allowance parks them, fewer lift a parking; whom it let through once, or the
    operator, is not counted again before they are listed. Whom WeChat has refused to speak of is
    asked about again after a pause only. Those of earlier sweeps whom it lists are not asked about
    any more; but until WeChat's next answer about them nobody knows whether they were away in
    between, so when they were last known to follow is kept. To be called while the sweep before is
    still the last sealed one: that one had the new candidates.
    """
    account_id = sweep.account_id
    absent = select(
        followers.c.account_id,
        followers.c.openid,
        literal(sweep.id),
        last_sealed_at(clock, account_id),
    ).where(
        followers.c.account_id == account_id,
        followers.c.subscribe.is_(True),
        not_(is_seen(sweep)),
    )
    statement = insert(connection.dialect)(candidates).from_select(
        ["account_id", "openid", "sweep_id", "following_at"], absent
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["account_id", "openid"],
            set_={"sweep_id": sweep.id, "undecided": False},
        )
    )
    listed_again = absence.forget_listed_by(connection, sweep)
    absence.let_wait(connection, clock, sweep)
    to_ask = and_(candidates.c.account_id == account_id, not_(candidates.c.undecided))
    count, suspicious = connection.execute(
        select(func.count(), func.count().filter(not_(candidates.c.approved))).where(to_ask)
    ).one()
    parked = allowance.exceeded_by(suspicious, of=sweep.openids + count)
    if suspicious and not parked:
        _approve(connection, account_id)
    since = func.coalesce(accounts.c.parked_at, clock.now()) if parked else None
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(parked_at=since))
    return SweepSealed(count, parked, listed_again)


def count_candidates(connection: Connection, account_id: int) -> int:
    """Return how many candidates wait to be asked about, or for the operator's decision."""
    return connection.execute(
        select(func.count()).where(
            candidates.c.account_id == account_id, not_(candidates.c.undecided)
        )
    ).scalar_one()


def get_candidates(
    connection: Connection, account_id: int, after: str, limit: int
) -> list[Candidate]:
    """Return the next candidates behind `after`, in byte order of their OpenIDs."""
    columns = (
        followers.c.openid,
        candidates.c.following_at,
        followers.c.first_seen_at,
        followers.c.subscribe_time,
        candidates.c.attempts,
    )
    rows = connection.execute(
        select(*columns)
        .join(
            followers,
            and_(
                followers.c.account_id == candidates.c.account_id,
                followers.c.openid == candidates.c.openid,
            ),
        )
        .where(
            candidates.c.account_id == account_id,
            candidates.c.openid > after,
            not_(candidates.c.undecided),
        )
        .order_by(candidates.c.openid)
        .limit(limit)
    )
    return [Candidate(*row) for row in rows]


def unpark(connection: Connection, account_id: int, *, approve: bool) -> None:
    """Let the parked candidates be asked about, or leave them alone until the next sweep."""
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(parked_at=None))
    if approve:
        _approve(connection, account_id)
    else:
        absence.reject(connection, account_id)


def _approve(connection: Connection, account_id: int) -> None:
    """Do not count those who are to be asked about again, before a page lists them."""
    connection.execute(
        update(candidates)
        .where(candidates.c.account_id == account_id, not_(candidates.c.undecided))
        .values(approved=True)
    )


def drop_candidates(connection: Connection, account_id: int, openids: Sequence[str]) -> None:
    """These are decided."""
    connection.execute(delete(candidates).where(absence.is_of(connection, account_id, openids)))


def mark_gone(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    openids: Sequence[str],
    *,
    reason: UnsubscribeReason,
    contradicts_list: ColumnElement[bool],
) -> int:
    """Mark those who are gone, and for which reason; return how many that are.

    `answered`: user/info said `subscribe: 0` just now; `refused`: see `absence`. The follow period
    ends between the last sweep that had them and now. Whoever was only listed again, and never
    confirmed, is put back to the end that was known; but an end that stands on refusals gives way
    to an answer, since they may have followed on until now. Where the answer `contradicts_list`,
    that is noted, so that the list is not believed again at once.
    """
    ended = followers.c.unfollowed_before.is_not(None)
    known_end: ColumnElement[Any] = followers.c.unfollowed_before
    if reason == "answered":
        known_end = case((followers.c.unsubscribe_reason == reason, known_end), else_=None)
    candidate = and_(
        candidates.c.account_id == followers.c.account_id, candidates.c.openid == followers.c.openid
    )
    following_at = case(
        (
            exists().where(candidate),
            select(candidates.c.following_at).where(candidate).scalar_subquery(),
        ),
        else_=last_sealed_at(clock, account_id),
    )
    unfollowed_after = later(connection.dialect, following_at, followers.c.followed_after)
    statement = (
        update(followers)
        .where(
            followers.c.account_id == account_id,
            followers.c.subscribe.is_(True),
            followers.c.openid.in_(openid_rows(connection, openids)),
        )
        .values(
            subscribe=False,
            unsubscribed_at=func.coalesce(known_end, clock.now()),
            unfollowed_after=case(
                (ended, followers.c.unfollowed_after),
                # One from the future, of before a clock was set back, says nothing of today.
                (unfollowed_after <= clock.now(), unfollowed_after),
                else_=None,
            ),
            unfollowed_before=func.coalesce(known_end, clock.now()),
            list_contradicted_at=case((contradicts_list, clock.now()), else_=None),
            changed_at=clock.now(),
            **_of_reason(clock, reason),
        )
    )
    count = connection.execute(statement).rowcount
    drop_candidates(connection, account_id, openids)
    return count


def _of_reason(clock: DatabaseClock, reason: UnsubscribeReason) -> dict[str, Any]:
    if reason == "answered":
        return {"unsubscribe_reason": reason, "enriched_at": clock.now()}
    # An answer about an end that is known already says more than a refusal.
    return {"unsubscribe_reason": func.coalesce(followers.c.unsubscribe_reason, reason)}
