"""Unionids: one person has one, and no other follower of the account has the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, select, update

from syncjob.database import runs
from syncjob.database.column_types import ID
from syncjob.database.staging import staged_profiles
from syncjob.database.tables import accounts, followers
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.model.answers import UnionidConflict
from syncjob.model.user_info import UserInfo

# An account that was bound to an Open Platform has profiles from before without a unionid. So many
# rows show it; and from so many on, and such a share of them, it is not single ones, which batchget
# leaves out at times.
SAMPLE_SIZE = 1_000
FEW, FEW_SHARE = 3, 0.01


@dataclass
class Unionids:
    """Whether the stored unionids are those that WeChat sends."""

    database: Database

    @writes
    def check(self, tx: Transaction, run_id: int, account_id: int) -> bool:
        """Record whether profiles lack the unionid that WeChat sends now; return whether it is new.

        Looks at a sample of the rows.
        """
        missing = _are_missing(tx, account_id)
        runs.advance(tx, run_id)
        known = accounts.c.unionids_missing_at
        statement = update(accounts).where(
            accounts.c.id == account_id, known.is_(None) if missing else known.is_not(None)
        )
        since = tx.clock.now() if missing else None
        changed = tx.connection.execute(statement.values(unionids_missing_at=since)).rowcount
        return missing and changed == 1

    @reads
    def get_moved_share(
        self, tx: Transaction, account_id: int, unionids: Mapping[str, str]
    ) -> float:
        """Return the share of the stored unionids that these, by OpenID, would change, 0 to 1."""
        stored = tx.connection.execute(
            select(followers.c.openid, followers.c.unionid).where(
                followers.c.account_id == account_id,
                followers.c.openid.in_(tx.dialect.openid_rows(list(unionids))),
                func.coalesce(followers.c.unionid, "") != "",
            )
        ).all()
        moved = sum(unionids[openid] != unionid for openid, unionid in stored)
        return moved / len(stored) if stored else 0.0


def are_repeated(infos: Sequence[UserInfo]) -> bool:
    """Tell whether two of the answers have the same unionid."""
    unionids = [info.unionid for info in infos if info.unionid]
    return len(set(unionids)) < len(unionids)


def has_another_owner() -> ColumnElement[bool]:
    """Return the condition that a staged answer has the unionid of another follower.

    Of the account that is the statement's parameter `account`.
    """
    # By the index on unionid, whatever PostgreSQL knows of a table that has just been filled: with
    # a LIMIT it would expect to meet one soon, and read all followers for each answer; and it must
    # not go by the account either, which the + 0 prevents.
    others = (
        select(func.count())
        .where(
            followers.c.account_id + 0 == bindparam("account", type_=ID),
            followers.c.unionid == staged_profiles.c.unionid,
            followers.c.openid != staged_profiles.c.openid,
        )
        .correlate(staged_profiles)
        .scalar_subquery()
    )
    return exists().where(staged_profiles.c.unionid != "", others > 0)


def find_conflicts(
    tx: Transaction, account_id: int, infos: Sequence[UserInfo]
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
    by_openid = known.where(followers.c.openid.in_(tx.dialect.openid_rows(list(answered))))
    by_unionid = known.where(followers.c.unionid.in_(tx.dialect.openid_rows(list(owners))))
    stored: dict[str, str] = {row.openid: row.unionid for row in tx.connection.execute(by_openid)}
    taken = {unionid for unionid, openids in owners.items() if len(openids) > 1}
    for openid, unionid in tx.connection.execute(by_unionid):
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


def _are_missing(tx: Transaction, account_id: int) -> bool:
    """Tell whether more than single followers have a profile without a unionid.

    Looks at the first thousand OpenIDs only: their order has nothing to do with time.
    """
    some = (
        select(followers.c.unionid, followers.c.enriched_at, followers.c.subscribe)
        .where(followers.c.account_id == account_id)
        .order_by(followers.c.openid)
        .limit(SAMPLE_SIZE)
        .subquery()
    )
    has_profile = and_(some.c.subscribe, some.c.enriched_at.is_not(None))
    lacks = and_(has_profile, func.coalesce(some.c.unionid, "") == "")
    counts = (func.count().filter(has_profile), func.count().filter(lacks))
    profiles, lacking = tx.connection.execute(select(*counts).select_from(some)).one()
    return bool(lacking >= FEW and lacking >= profiles * FEW_SHARE)
