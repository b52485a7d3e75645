"""Removal of an account, with everything that any table holds of it.

Which tables these are is read from tables.py, so that a new one cannot be forgotten.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Table, delete, func, select

from syncjob.database import runs
from syncjob.database.tables import accounts, metadata, sweeps
from syncjob.database.tables import runs as runs_table
from syncjob.database.transactions import Database, Transaction, reads, writes

# Rows with such a column belong to the account of the row that it names.
OWNERS = {"run_id": runs_table, "sweep_id": sweeps}


@dataclass
class Removal:
    """Deletes an account. The run in these methods is the one that removes it."""

    database: Database

    @reads
    def count_rows(self, tx: Transaction, account_id: int) -> dict[str, int]:
        """Return how many rows each table has of the account, those that have some."""
        found = {
            table.name: tx.connection.execute(
                select(func.count()).select_from(table).where(rows_of(table, account_id))
            ).scalar_one()
            for table in in_order()
        }
        return {name: rows for name, rows in sorted(found.items()) if rows}

    @writes
    def erase_people(self, tx: Transaction, run_id: int, account_id: int, *, limit: int) -> int:
        """Delete about `limit` of the account's rows with an OpenID; return how many, 0: none."""
        erased = _erase_some(tx, account_id, limit)
        runs.advance(tx, run_id)
        return erased

    @writes
    def remove_account(self, tx: Transaction, run_id: int, account_id: int) -> None:
        """Delete the account and all that is left of it, the row of the run too."""
        runs.advance(tx, run_id)
        for table in in_order():
            tx.connection.execute(delete(table).where(rows_of(table, account_id)))


def rows_of(table: Table, account_id: int) -> ColumnElement[bool]:
    """Return the condition of the account's rows in a table.

    Raises LookupError for a table that belongs to no account.
    """
    if table is accounts:
        return accounts.c.id == account_id
    if "account_id" in table.c:
        return table.c.account_id == account_id
    key, owner = _owned_by(table)
    return key.in_(select(owner.c.id).where(owner.c.account_id == account_id))


def in_order() -> Iterator[Table]:
    """Yield all tables, each before those that it refers to."""
    pointing_first = list(reversed(metadata.sorted_tables))
    yield from (table for table in pointing_first if not _names_account(table))
    yield from (table for table in pointing_first if "account_id" in table.c)
    yield accounts


def _erase_some(tx: Transaction, account_id: int, limit: int) -> int:
    """Delete about `limit` rows with an OpenID; return how many, 0 if there are none left."""
    for table in in_order():
        if "openid" not in table.c:
            continue
        mine = rows_of(table, account_id)
        if not _names_account(table):  # one owner at a time: the key is sorted by it
            key, _ = _owned_by(table)
            mine = key == tx.connection.scalar(select(key).where(mine).limit(1))
        openid = table.c.openid
        last = tx.connection.scalar(
            select(openid).where(mine).order_by(openid).offset(limit - 1).limit(1)
        )
        up_to = [] if last is None else [openid <= last]
        erased = tx.connection.execute(delete(table).where(mine, *up_to)).rowcount
        if erased:
            return erased
    return 0


def _names_account(table: Table) -> bool:
    return table is accounts or "account_id" in table.c


def _owned_by(table: Table) -> tuple[Column[int], Table]:
    for name, owner in OWNERS.items():
        if name in table.c:
            return table.c[name], owner
    raise LookupError(table.name)
