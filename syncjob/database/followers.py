"""Statements on followers and quarantine. Each runs inside a transaction that the store opens."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert, insert_new, later, openid_rows
from syncjob.database.tables import accounts, followers, quarantine, sweep_openids
from syncjob.model import UserInfo

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


def add_followers(
    connection: Connection, account_id: int, openids: Sequence[str], now: ColumnElement[datetime]
) -> int:
    """Add those that are not there yet; return how many that were."""
    values = {"account_id": literal(account_id), "subscribe": true(), "first_seen_at": now}
    return insert_new(connection, followers, values, openids)


def subscribe_again(
    connection: Connection, account_id: int, sweep_id: int, openids: Sequence[str]
) -> int:
    """Subscribe again those marked as gone whom this sweep has not listed before; count them.

    They are due for enrichment, since the follow that WeChat now tells of is another one.
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
        .values(subscribe=True, unsubscribed_at=None, enriched_at=None)
    )
    return connection.execute(statement).rowcount


def is_unenriched(due_before: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition of a row that batchget is still to be asked about."""
    return and_(
        followers.c.subscribe.is_(True),
        or_(followers.c.enriched_at.is_(None), followers.c.enriched_at < due_before),
    )


def get_unenriched(
    connection: Connection,
    account_id: int,
    after: str,
    limit: int,
    now: ColumnElement[datetime],
) -> list[str]:
    """Return the next unenriched OpenIDs behind `after`, in byte order, without those to wait."""
    waits = exists().where(
        quarantine.c.account_id == followers.c.account_id,
        quarantine.c.openid == followers.c.openid,
        quarantine.c.next_try_at > now,
    )
    statement = (
        select(followers.c.openid)
        .where(
            followers.c.account_id == account_id,
            followers.c.openid > after,
            is_unenriched(backfill_started_at(account_id)),
            ~waits,
        )
        .order_by(followers.c.openid)
        .limit(limit)
    )
    return list(connection.scalars(statement))


def save_profiles(
    connection: Connection,
    account_id: int,
    infos: Iterable[UserInfo],
    now: ColumnElement[datetime],
) -> None:
    """Fill the followers' rows, and let those that answered out of quarantine."""
    infos = list(infos)
    # A clock that was set back must not leave a row due for the same backfill again.
    enriched_at = later(connection)(now, func.coalesce(backfill_started_at(account_id), now))
    this_row = (followers.c.account_id == account_id, followers.c.openid == bindparam("key"))
    following = [_parameters(info) for info in infos if info.subscribe is not False]
    if following:
        connection.execute(
            update(followers).where(*this_row).values(enriched_at=enriched_at, **_profile_values()),
            following,
        )
    gone = [{"key": info.openid} for info in infos if info.subscribe is False]
    if gone:
        connection.execute(
            update(followers)
            .where(*this_row)
            .values(
                subscribe=False,
                unsubscribed_at=func.coalesce(followers.c.unsubscribed_at, now),
                enriched_at=enriched_at,
            ),
            gone,
        )
    if infos:
        connection.execute(
            delete(quarantine).where(
                quarantine.c.account_id == account_id,
                quarantine.c.openid.in_(openid_rows(connection, [info.openid for info in infos])),
            )
        )


def put_in_quarantine(
    connection: Connection,
    account_id: int,
    openid: str,
    errcode: int | None,
    reason: str,
    clock: DatabaseClock,
) -> None:
    """Record that an OpenID failed by itself, and when to ask again: after 1 h, 1 d, then 7 d."""
    statement = insert(connection)(quarantine).values(
        account_id=account_id,
        openid=openid,
        errcode=errcode,
        reason=reason,
        attempts=1,
        first_failed_at=clock.now(),
        next_try_at=clock.now(timedelta(hours=1)),
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["account_id", "openid"],
            set_={
                "errcode": statement.excluded.errcode,
                "reason": statement.excluded.reason,
                "attempts": quarantine.c.attempts + 1,
                "next_try_at": case(
                    (quarantine.c.attempts == 1, clock.now(timedelta(days=1))),
                    else_=clock.now(timedelta(days=7)),
                ),
            },
        )
    )


def _profile_values() -> dict[str, ColumnElement[Any]]:
    values: dict[str, ColumnElement[Any]] = {}
    for name in PROFILE_FIELDS:
        column = followers.c[name]
        told = bindparam(f"new_{name}", type_=column.type)
        if name in NEVER_ERASED:
            values[name] = func.coalesce(func.nullif(told, ""), column, told)
        elif name == "sex":  # 0 is "unknown", and all there is since 2021-10
            values[name] = func.coalesce(func.nullif(told, 0), column, told)
        else:  # operators of the account clear remarks and tags: an empty value is a value
            values[name] = func.coalesce(told, column)
    return values


def _parameters(info: UserInfo) -> dict[str, Any]:
    return {"key": info.openid, **{f"new_{name}": getattr(info, name) for name in PROFILE_FIELDS}}


def backfill_started_at(account_id: int) -> ColumnElement[Any]:
    """Return when the account's last backfill began, as a subquery; NULL if there was none."""
    return (
        select(accounts.c.backfill_started_at).where(accounts.c.id == account_id).scalar_subquery()
    )
