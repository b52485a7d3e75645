"""Statements that store profiles, and what they say of follow periods.

They work on all answers that are staged at once (see `staging`).
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)

from syncjob.database import periods, quarantine, unionids
from syncjob.database.clock import DatabaseClock
from syncjob.database.column_types import ID
from syncjob.database.conditions import backfill_started_at
from syncjob.database.dialects.base import Dialect, Staged
from syncjob.database.staging import PROFILE_FIELDS, staged_profiles
from syncjob.database.tables import (
    followers,
    unfollow_candidates,
)
from syncjob.database.tables import quarantine as quarantined
from syncjob.database.transactions import NotNew, Transaction, require_stored
from syncjob.model.answers import UnionidConflict
from syncjob.model.sweeps import HeldPages
from syncjob.model.user_info import UserInfo

# What WeChat stopped sending, or sends blank at times, must not wipe out what is stored.
NEVER_ERASED = (
    "nickname",
    "language",
    "city",
    "province",
    "country",
    "headimgurl",
    "unionid",
    "subscribe_scene",
    "qr_scene_str",
)


def save(
    tx: Transaction,
    account_id: int,
    infos: Sequence[UserInfo],
    held: HeldPages,
    *,
    confirmed: bool,
    assume_new: bool,
) -> list[UnionidConflict]:
    """Store answers of `subscribe: 1`: the profiles, and what they say of follow periods.

    Unless `confirmed`, answers whose unionid is in conflict are left out, and the conflicts
    returned; and nothing is stored of followers that are marked as gone, since that was answered
    after these. A confirmed answer subscribes them again. Those that are stored leave quarantine
    and the candidates. Followers that a held page lists are added; see `pages.add` for the order.
    `assume_new` makes adding a quarter cheaper: a row that is there already is an IntegrityError,
    and a conflict NotNew.
    """
    by_openid = {info.openid: info for info in infos}
    if not by_openid:
        return []
    infos = list(by_openid.values())
    if held.pages:
        infos.sort(key=attrgetter("openid"))
    staged = tx.dialect.stage(tx.connection, infos, held.pages)
    conflicts: list[UnionidConflict] = []
    # Nearly always no answer contradicts what is stored; the upsert itself finds those that do.
    rare = staged.execute(_rare_cases(), {"account": account_id}, columns=("openid", "unionid"))
    has_another_owner, is_anybody_waiting = tuple(rare.one())
    shared = not confirmed and (has_another_owner or unionids.are_repeated(infos))
    write = partial(_write, tx, account_id, held.sweep_id, confirmed=confirmed)
    if shared and assume_new:
        raise NotNew
    if shared or write(staged, upsert=not assume_new) < len(infos):
        if not confirmed:
            conflicts = unionids.find_conflicts(tx, account_id, infos)
            left_out = {conflict.openid for conflict in conflicts}
            infos = [info for info in infos if info.openid not in left_out]
            staged = tx.dialect.stage(tx.connection, infos, held.pages)
        if infos:
            periods.archive(tx, staged, account_id, confirmed=confirmed)
            written = write(staged, upsert=True, contradicting=True)
            left_alone = 0 if confirmed else _count_gone(staged, account_id)
            require_stored(followers.name, written, len(infos) - left_alone)
    if is_anybody_waiting:
        _settle(tx, account_id, infos)
    return conflicts


@lru_cache(maxsize=1)
def _rare_cases() -> Any:
    """Return one SELECT of the rare cases, as one statement to save round trips.

    Whether a staged unionid is another follower's, and whether the account has anybody in
    quarantine or among the candidates.
    """
    account_id = bindparam("account", type_=ID)
    waits = or_(
        exists().where(quarantined.c.account_id == account_id),
        exists().where(unfollow_candidates.c.account_id == account_id),
    )
    return select(unionids.has_another_owner(), waits)


def _write(
    tx: Transaction,
    account_id: int,
    sweep_id: int,
    staged: Staged,
    *,
    upsert: bool,
    confirmed: bool,
    contradicting: bool = False,
) -> int:
    """Write the staged answers into followers; return how many rows were written.

    With `upsert` rows that are there are updated, except those that the answer contradicts, unless
    `contradicting`; and rows of followers marked as gone only if `confirmed` as well. Without it, a
    row that is there is an IntegrityError.
    """
    _, now = tx.clock.parameter()
    statement = _statement(tx.dialect, tx.clock, upsert, contradicting, confirmed)
    values = {"account": account_id, "sweep": sweep_id, **now}
    return staged.execute(statement, values, preserve_rowcount=True).rowcount


@lru_cache(maxsize=16)  # making it costs as much as executing it for a hundred
def _statement(
    dialect: Dialect, clock: DatabaseClock, upsert: bool, contradicting: bool, confirmed: bool
) -> Any:
    """Return an INSERT, or an upsert.

    Not an UPDATE: PostgreSQL may join the staged rows with the whole table, which costs ten times
    as much.
    """
    account_id = bindparam("account", type_=ID)
    now, _ = clock.parameter()
    # A clock that was set back must not leave a row due for the same backfill again.
    enriched_at = dialect.later(now, backfill_started_at(account_id))
    # Those that a held page lists have no row yet; and should a row have been deleted meanwhile, it
    # is added again: WeChat says that they follow.
    is_listed = staged_profiles.c.first_page.is_not(None)
    row = {
        "account_id": account_id,
        **{name: staged_profiles.c[name] for name in ("openid", *PROFILE_FIELDS, "first_page")},
        "first_sweep_id": case((is_listed, bindparam("sweep", type_=BigInteger))),
        "first_seen_at": now,
        "enriched_at": enriched_at,
        "changed_at": now,
        "followed_after": staged_profiles.c.subscribe_time,  # no earlier sweep has missed them
        "followed_before": func.coalesce(staged_profiles.c.subscribe_time, now),
    }
    # SQLite takes the ON of ON CONFLICT for a join's, unless a WHERE stands before it.
    rows = select(*row.values()).where(staged_profiles.c.openid.is_not(None))
    statement = dialect.insert(followers).from_select(list(row), rows)
    if not upsert:
        return statement
    answered = dialect.proposed(statement)
    returned = periods.is_return(answered)
    unionid = func.nullif(answered.unionid, "")
    another_unionid = func.coalesce(unionid != func.nullif(followers.c.unionid, ""), literal(False))
    profile = {name: _new_value(name, answered[name]) for name in PROFILE_FIELDS}
    changed = or_(
        *(value.is_distinct_from(followers.c[name]) for name, value in profile.items()),
        followers.c.unfollowed_before.is_not(None),
    )
    values = {
        **profile,
        "enriched_at": enriched_at,
        "changed_at": case((changed, now), else_=followers.c.changed_at),
        "followed_after": func.coalesce(
            answered.subscribe_time,
            # Not `unfollowed_before`: they may have returned while that answer was on its way.
            case((returned, followers.c.unfollowed_after), else_=followers.c.followed_after),
        ),
        "followed_before": func.coalesce(
            answered.subscribe_time,
            case((returned, now), else_=followers.c.followed_before),
        ),
        # Together, for the CHECK: a follower that is not subscribed has an end.
        "subscribe": True,
        "unsubscribed_at": None,
        "unsubscribe_reason": None,
        "unfollowed_after": None,
        "unfollowed_before": None,
        "list_contradicted_at": None,
    }
    where: ColumnElement[bool] | None = followers.c.subscribe.is_(True)
    if not contradicting:
        where = and_(followers.c.subscribe.is_(True), not_(or_(another_unionid, returned)))
    elif confirmed:
        where = None
    return dialect.or_update(statement, ["account_id", "openid"], values, where)


def _new_value(name: str, answered: ColumnElement[Any]) -> ColumnElement[Any]:
    column = followers.c[name]
    if name in NEVER_ERASED:
        return func.coalesce(func.nullif(answered, ""), column, answered)
    if name == "sex":  # 0 is "unknown", and all there is since 2021-10
        return func.coalesce(func.nullif(answered, literal(0)), column, answered)
    # Operators of the account clear remarks and tags: an empty value is a value.
    return func.coalesce(answered, column)


def _count_gone(staged: Staged, account_id: int) -> int:
    """Count the staged that are marked as gone: an unconfirmed answer does not change them."""
    gone = select(func.count()).where(
        followers.c.account_id == account_id,
        followers.c.openid == staged_profiles.c.openid,
        followers.c.subscribe.is_(False),
    )
    return int(staged.execute(gone, columns=("openid",)).scalar_one())


def _settle(tx: Transaction, account_id: int, infos: Sequence[UserInfo]) -> None:
    """Take these off quarantine and the candidates."""
    openids = [info.openid for info in infos]
    quarantine.let_out(tx, account_id, openids)
    tx.connection.execute(
        unfollow_candidates.delete().where(
            unfollow_candidates.c.account_id == account_id,
            unfollow_candidates.c.openid.in_(tx.dialect.openid_rows(openids)),
        )
    )
