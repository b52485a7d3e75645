"""Statements that remove an account, with all that any table holds of it.

Which tables these are is read from tables.py, so that a new one cannot be forgotten. Each runs
inside a transaction that the store opens.
"""

from collections.abc import Iterator

from sqlalchemy import Column, ColumnElement, Connection, Table, delete, func, select

from syncjob.database.tables import accounts, metadata, runs, sweeps

# Whose rows belong to the account of the row that such a column names.
OWNERS = {"run_id": runs, "sweep_id": sweeps}


def rows_of(table: Table, account_id: int) -> ColumnElement[bool]:
    """Return the condition of the account's rows in a table.

    Raises LookupError for a table that is of no account.
    """
    if table is accounts:
        return accounts.c.id == account_id
    if "account_id" in table.c:
        return table.c.account_id == account_id
    key, owner = _owned_by(table)
    return key.in_(select(owner.c.id).where(owner.c.account_id == account_id))


def in_order() -> Iterator[Table]:
    """Yield all tables, each before those that it points at."""
    pointing_first = list(reversed(metadata.sorted_tables))
    yield from (table for table in pointing_first if not _names_account(table))
    yield from (table for table in pointing_first if "account_id" in table.c)
    yield accounts


def count(connection: Connection, account_id: int) -> dict[str, int]:
    """Return how many rows each table has of the account, those that have some."""
    found = {
        table.name: connection.execute(
            select(func.count()).select_from(table).where(rows_of(table, account_id))
        ).scalar_one()
        for table in in_order()
    }
    return {name: rows for name, rows in sorted(found.items()) if rows}


def erase_some(connection: Connection, account_id: int, limit: int) -> int:
    """Delete about `limit` rows with an OpenID; return how many, 0 if there are none any more."""
    for table in in_order():
        if "openid" not in table.c:
            continue
        mine = rows_of(table, account_id)
        if not _names_account(table):  # one owner at a time, whose rows the key has in order
            key, _ = _owned_by(table)
            mine = key == connection.scalar(select(key).where(mine).limit(1))
        openid = table.c.openid
        last = connection.scalar(
            select(openid).where(mine).order_by(openid).offset(limit - 1).limit(1)
        )
        up_to = [] if last is None else [openid <= last]
        erased = connection.execute(delete(table).where(mine, *up_to)).rowcount
        if erased:
            return erased
    return 0


def remove_all(connection: Connection, account_id: int) -> None:
    """Delete what is left of the account, and the account."""
    for table in in_order():
        connection.execute(delete(table).where(rows_of(table, account_id)))


def _names_account(table: Table) -> bool:
    return table is accounts or "account_id" in table.c


def _owned_by(table: Table) -> tuple[Column[int], Table]:
    for name, owner in OWNERS.items():
        if name in table.c:
            return table.c[name], owner
    raise LookupError(table.name)
