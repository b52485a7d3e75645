"""Statements on accounts. Each runs inside a transaction that the store opens."""

from secrets import token_hex

from sqlalchemy import Connection, select, update

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert
from syncjob.database.tables import accounts
from syncjob.model import Account

COLUMNS = [accounts.c[name] for name in Account.__slots__]


def add(connection: Connection, clock: DatabaseClock, appid: str) -> None:
    """Add the account, unless it is there; give it a key, unless it has one."""
    account = find(connection, appid)
    if account is None:
        statement = insert(connection.dialect)(accounts).values(
            appid=appid, created_at=clock.now(), hash_key=token_hex(16)
        )
        connection.execute(statement.on_conflict_do_nothing())
    elif account.hash_key is None:  # of before there were keys
        connection.execute(
            update(accounts)
            .where(accounts.c.id == account.id, accounts.c.hash_key.is_(None))
            .values(hash_key=token_hex(16))
        )


def find(connection: Connection, appid: str) -> Account | None:
    """Return the account of that AppID, if there is one."""
    row = connection.execute(select(*COLUMNS).where(accounts.c.appid == appid)).one_or_none()
    return None if row is None else Account(*row)


def get(connection: Connection, appid: str) -> Account:
    """Return the account of that AppID, which must be there."""
    return Account(*connection.execute(select(*COLUMNS).where(accounts.c.appid == appid)).one())


def get_appids(connection: Connection) -> list[str]:
    """Return all AppIDs, sorted."""
    return list(connection.scalars(select(accounts.c.appid).order_by(accounts.c.appid)))


def get_all(connection: Connection) -> list[Account]:
    """Return all accounts, by their AppIDs."""
    rows = connection.execute(select(*COLUMNS).order_by(accounts.c.appid))
    return [Account(*row) for row in rows]


def note_missing_unionids(
    connection: Connection, clock: DatabaseClock, account_id: int, *, missing: bool
) -> bool:
    """Note whether profiles lack their unionid; return whether that is news, and they do."""
    noted = accounts.c.unionids_missing_at
    statement = update(accounts).where(
        accounts.c.id == account_id, noted.is_(None) if missing else noted.is_not(None)
    )
    since = clock.now() if missing else None
    changed = connection.execute(statement.values(unionids_missing_at=since)).rowcount
    return missing and changed == 1


def start_backfill(connection: Connection, clock: DatabaseClock, account_id: int) -> None:
    """Make every follower that is enriched by now due again."""
    connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(backfill_started_at=clock.now(), backfill_finished_at=None)
    )


def finish_backfill(connection: Connection, clock: DatabaseClock, account_id: int) -> None:
    """End the backfill that is under way, if one is."""
    connection.execute(
        update(accounts)
        .where(
            accounts.c.id == account_id,
            accounts.c.backfill_started_at.is_not(None),
            accounts.c.backfill_finished_at.is_(None),
        )
        .values(backfill_finished_at=clock.now())
    )
