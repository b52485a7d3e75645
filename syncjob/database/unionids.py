"""Statements that compare the unionids of answers with those that are stored.

One person has one unionid, and no other follower of the account has the same.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, select

from syncjob.database.column_types import ID
from syncjob.database.dialects import openid_rows
from syncjob.database.tables import followers
from syncjob.database.told import told
from syncjob.model import UnionidConflict, UserInfo


def are_repeated(infos: Sequence[UserInfo]) -> bool:
    """Tell whether two of the answers have the same unionid."""
    unionids = [info.unionid for info in infos if info.unionid]
    return len(set(unionids)) < len(unionids)


def has_another_owner() -> ColumnElement[bool]:
    """Return the condition that a staged answer has the unionid of another follower.

    Of the account that is the statement's parameter `account`.
    """
    # By the index on unionid, whatever PostgreSQL knows of a table that has just been filled: with
    # a LIMIT it would expect to meet one soon, and read all followers for each answer; and an
    # account is no good way to them either, which is what the + 0 says.
    others = (
        select(func.count())
        .where(
            followers.c.account_id + 0 == bindparam("account", type_=ID),
            followers.c.unionid == told.c.unionid,
            followers.c.openid != told.c.openid,
        )
        .correlate(told)
        .scalar_subquery()
    )
    return exists().where(told.c.unionid != "", others > 0)


def get_conflicts(
    connection: Connection, account_id: int, infos: Sequence[UserInfo]
) -> list[UnionidConflict]:
    """Return where these answers would change a unionid, or give one to a second OpenID.

    The other OpenID of a shared unionid is a conflict too, whether it is stored or answered.
    """
    answered = {info.openid: info.unionid for info in infos if info.unionid}
    if not answered:
        return []
    owners: dict[str, set[str]] = {}
    for openid, unionid in answered.items():
        owners.setdefault(unionid, set()).add(openid)
    known = select(followers.c.openid, followers.c.unionid).where(
        followers.c.account_id == account_id, followers.c.unionid.is_not(None)
    )
    by_openid = known.where(followers.c.openid.in_(openid_rows(connection, list(answered))))
    by_unionid = known.where(followers.c.unionid.in_(openid_rows(connection, list(owners))))
    stored: dict[str, str] = {row.openid: row.unionid for row in connection.execute(by_openid)}
    taken = {unionid for unionid, openids in owners.items() if len(openids) > 1}
    for openid, unionid in connection.execute(by_unionid):
        if openid not in owners[unionid]:
            taken.add(unionid)
        # An owner whose own answer names another unionid is found by that answer.
        if answered.get(openid, unionid) == unionid:
            owners[unionid].add(openid)
    conflicts: dict[str, UnionidConflict] = {}
    for openid, unionid in answered.items():
        if stored.get(openid) and stored[openid] != unionid:
            is_plain = unionid not in taken
            conflicts[openid] = UnionidConflict(openid, unionid, stored[openid], is_plain)
    for unionid, openids in owners.items():
        if len(openids) > 1:
            for openid in openids:
                conflicts.setdefault(openid, UnionidConflict(openid, unionid, None))
    return [conflicts[openid] for openid in sorted(conflicts)]


def get_moved_share(connection: Connection, account_id: int, unionids: Mapping[str, str]) -> float:
    """Return the share of these OpenIDs with a stored unionid that is another one, 0 to 1."""
    stored = connection.execute(
        select(followers.c.openid, followers.c.unionid).where(
            followers.c.account_id == account_id,
            followers.c.openid.in_(openid_rows(connection, list(unionids))),
            func.coalesce(followers.c.unionid, "") != "",
        )
    ).all()
    moved = sum(unionids[openid] != unionid for openid, unionid in stored)
    return moved / len(stored) if stored else 0.0
