"""Statements that store what WeChat says of people: profiles, and the follow periods they tell.

Each runs inside a transaction that the store opens.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from syncjob.database import quarantine
from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import later, openid_rows
from syncjob.database.followers import backfill_started_at
from syncjob.database.tables import (
    UTCDateTime,
    followers,
    past_follow_periods,
    sweeps,
    unfollow_candidates,
)
from syncjob.model import UnionidConflict, UserInfo

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
PROFILE_FIELDS = tuple(f.name for f in fields(UserInfo) if f.name not in ("openid", "subscribe"))


class Known(NamedTuple):
    """What is stored of a follower, as far as an answer may contradict it."""

    unionid: str | None
    subscribe_time: datetime | None
    unfollowed_before: datetime | None


def get_unionid_conflicts(
    connection: Connection, account_id: int, infos: Sequence[UserInfo]
) -> list[UnionidConflict]:
    """Return where these answers would change a unionid, or give one to a second OpenID.

    The other OpenID of a shared unionid is a conflict too, whether it is stored or answered.
    """
    told = {info.openid: info.unionid for info in infos if info.unionid}
    if not told:
        return []
    stored = _get_known(connection, account_id, list(told))
    owners: dict[str, set[str]] = {}
    for openid, unionid in told.items():
        owners.setdefault(unionid, set()).add(openid)
    rows = connection.execute(
        select(followers.c.openid, followers.c.unionid).where(
            followers.c.account_id == account_id,
            followers.c.unionid.in_(openid_rows(connection, list(owners))),
        )
    )
    for openid, unionid in rows:
        # An owner whose own answer names another unionid is found by that answer.
        if told.get(openid, unionid) == unionid:
            owners[unionid].add(openid)
    conflicts: dict[str, UnionidConflict] = {}
    for openid, unionid in told.items():
        known = stored.get(openid)
        if known is not None and known.unionid and known.unionid != unionid:
            conflicts[openid] = UnionidConflict(openid, unionid, known.unionid)
    for unionid, openids in owners.items():
        if len(openids) > 1:
            for openid in openids:
                conflicts.setdefault(openid, UnionidConflict(openid, unionid, None))
    return [conflicts[openid] for openid in sorted(conflicts)]


def save(
    connection: Connection, clock: DatabaseClock, account_id: int, infos: Sequence[UserInfo]
) -> None:
    """Store answers of `subscribe: 1`: the profiles, and what they say of follow periods.

    Lets those that answered out of quarantine, and takes them off the candidates.
    """
    if not infos:
        return
    openids = [info.openid for info in infos]
    known = _get_known(connection, account_id, openids)
    returned = [info for info in infos if _tells_of_a_return(info, known.get(info.openid))]
    if returned:
        _archive_periods(connection, account_id, returned)
    returns = {info.openid for info in returned}
    parameters = [_parameters(info, info.openid in returns) for info in infos]
    connection.execute(_update_statement(connection, clock, account_id), parameters)
    quarantine.let_out(connection, account_id, openids)
    connection.execute(
        unfollow_candidates.delete().where(
            unfollow_candidates.c.account_id == account_id,
            unfollow_candidates.c.openid.in_(openid_rows(connection, openids)),
        )
    )


def _get_known(connection: Connection, account_id: int, openids: Sequence[str]) -> dict[str, Known]:
    """Return what is stored of those of whom something is; of new followers nothing is."""
    columns = (followers.c.openid, *(followers.c[name] for name in Known._fields))
    rows = connection.execute(
        select(*columns).where(
            followers.c.account_id == account_id,
            followers.c.openid.in_(openid_rows(connection, openids)),
            or_(*(followers.c[name].is_not(None) for name in Known._fields)),
        )
    )
    return {openid: Known(*values) for openid, *values in rows}


def _tells_of_a_return(info: UserInfo, known: Known | None) -> bool:
    """Tell whether the answer is of another follow period than the stored one.

    `subscribe_time` is that of the last follow. Without one, whoever had been marked as gone and
    follows again has returned; with the old one, they had never left.
    """
    if known is None:
        return False
    if known.unfollowed_before is not None:
        told, stored = info.subscribe_time, known.subscribe_time
        return told is None or stored is None or told > stored
    if info.subscribe_time is None or known.subscribe_time is None:
        return False
    return info.subscribe_time > known.subscribe_time


def _archive_periods(connection: Connection, account_id: int, returned: Sequence[UserInfo]) -> None:
    """Keep the period that ended: as it was noted, or, if it was not, before the new one began."""
    told = bindparam("told", type_=UTCDateTime)
    candidate = (
        select(unfollow_candidates.c.following_at)
        .where(
            unfollow_candidates.c.account_id == followers.c.account_id,
            unfollow_candidates.c.openid == followers.c.openid,
        )
        .correlate(followers)
    )
    # The last sealed sweep that was over before they came back had them, unless it, or one before
    # it, had missed them: `following_at` is of the last one that had not.
    following_at = (
        select(sweeps.c.started_at)
        .where(
            sweeps.c.account_id == account_id,
            sweeps.c.status == "sealed",
            sweeps.c.finished_at < told,
            or_(~candidate.exists(), sweeps.c.started_at <= candidate.scalar_subquery()),
        )
        .order_by(sweeps.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    noted = followers.c.unfollowed_before.is_not(None)
    ended = select(
        followers.c.account_id,
        followers.c.openid,
        followers.c.followed_after,
        followers.c.followed_before,
        case(
            (noted, followers.c.unfollowed_after),
            else_=later(connection, following_at, followers.c.followed_after),
        ),
        func.coalesce(followers.c.unfollowed_before, told),
    ).where(followers.c.account_id == account_id, followers.c.openid == bindparam("key"))
    columns = ["account_id", "openid", "followed_after", "followed_before"]
    columns += ["unfollowed_after", "unfollowed_before"]
    for info in returned:
        connection.execute(
            insert(past_follow_periods).from_select(columns, ended),
            {"key": info.openid, "told": info.subscribe_time},
        )


def _update_statement(connection: Connection, clock: DatabaseClock, account_id: int) -> Any:
    profile = _profile_values()
    now = clock.now()
    changed = or_(
        *(value.is_distinct_from(followers.c[name]) for name, value in profile.items()),
        followers.c.unfollowed_before.is_not(None),
    )
    told = bindparam("new_subscribe_time", type_=UTCDateTime)
    returned = bindparam("returned", type_=Boolean)
    values = {
        **profile,
        # A clock that was set back must not leave a row due for the same backfill again.
        "enriched_at": later(connection, now, backfill_started_at(account_id)),
        "changed_at": case((changed, now), else_=followers.c.changed_at),
        "followed_after": func.coalesce(
            told,
            # Not `unfollowed_before`: they may have returned while that answer was on its way.
            case((returned, followers.c.unfollowed_after), else_=followers.c.followed_after),
        ),
        "followed_before": func.coalesce(
            told, case((returned, now), else_=followers.c.followed_before)
        ),
        "unfollowed_after": None,
        "unfollowed_before": None,
    }
    return (
        update(followers)
        .where(followers.c.account_id == account_id, followers.c.openid == bindparam("key"))
        .values(values)
    )


def _profile_values() -> dict[str, ColumnElement[Any]]:
    values: dict[str, ColumnElement[Any]] = {}
    for name in PROFILE_FIELDS:
        column = followers.c[name]
        told = bindparam(f"new_{name}", type_=column.type)
        if name in NEVER_ERASED:
            values[name] = func.coalesce(func.nullif(told, ""), column, told)
        elif name == "sex":  # 0 is "unknown", and all there is since 2021-10
            values[name] = func.coalesce(func.nullif(told, literal(0)), column, told)
        else:  # operators of the account clear remarks and tags: an empty value is a value
            values[name] = func.coalesce(told, column)
    return values


def _parameters(info: UserInfo, returned: bool) -> dict[str, Any]:
    profile = {f"new_{name}": getattr(info, name) for name in PROFILE_FIELDS}
    return {"key": info.openid, "returned": returned, **profile}
