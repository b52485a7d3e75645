"""The columns that many tables have, each made in one way."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, func, text

from syncjob.database.column_types import ID, UTCDateTime


def counted_key() -> Column[int]:
    """Return the key of a table whose rows are numbered."""
    return Column("id", ID, Identity(), primary_key=True)


def of_account(**options: Any) -> Column[int]:
    """Return the column that says whose a row is."""
    return Column("account_id", ForeignKey("accounts.id"), nullable=False, **options)


def instant(name: str, *, nullable: bool = True) -> Column[datetime]:
    """Return a column for an instant; one that must be there defaults to now."""
    default = None if nullable else func.now()
    return Column(name, UTCDateTime, nullable=nullable, server_default=default)


def count(name: str) -> Column[int]:
    """Return a column for a count, which begins at 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))
