"""Kinds of columns, and the columns that many tables have."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Integer,
    Text,
    TypeDecorator,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from syncjob.database.dialects import dialect_for


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC instant; where the database keeps no time zone, stored without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive instant, and store an aware one as UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant without a time zone")
        value = value.astimezone(UTC)
        return value if dialect_for(dialect).keeps_time_zone else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# OpenIDs are case-sensitive: byte by byte, whatever the collation of the database is.
OPENID = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite counts its row ids by itself only in a column of exactly the type INTEGER.
ID = BigInteger().with_variant(Integer(), "sqlite")
JSON_VALUE = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def counted_key() -> Column[int]:
    """Return the key of a table whose rows are numbered."""
    return Column("id", ID, Identity(), primary_key=True)


def of_account(**options: Any) -> Column[int]:
    """Return the column that names the account of a row."""
    return Column("account_id", ForeignKey("accounts.id"), nullable=False, **options)


def instant(name: str, *, nullable: bool = True) -> Column[datetime]:
    """Return a column for an instant; one that must be there defaults to now."""
    default = None if nullable else func.now()
    return Column(name, UTCDateTime, nullable=nullable, server_default=default)


def count(name: str) -> Column[int]:
    """Return a column for a count, which begins at 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))
