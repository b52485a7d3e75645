"""What PostgreSQL and SQLite spell differently, so that the statements read alike on both."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    Text,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

SEPARATOR = "\x1f"  # ASCII's own; an OpenID that holds it is not WeChat's, and taken all the same


def insert(dialect: Dialect) -> Any:
    """Return the dialect's INSERT, which knows ON CONFLICT."""
    return postgresql.insert if dialect.name == "postgresql" else sqlite.insert


def later(dialect: Dialect, one: Any, other: Any) -> ColumnElement[Any]:
    """Return the later of two instants; the one that is known, if one is NULL."""
    if dialect.name == "postgresql":
        return func.greatest(one, other)
    return func.coalesce(func.max(one, other), one, other)


def openid_rows(connection: Connection, openids: Sequence[str]) -> Select[tuple[str]]:
    """Return a SELECT of the OpenIDs: one parameter, however many there are."""
    if connection.dialect.name == "postgresql":
        # Of rows PostgreSQL does not know how many there are, so that it looks them up by index.
        return select(func.unnest(openid_array(openids), type_=Text).column_valued("openid"))
    return select(func.json_each(literal(list(openids), JSON)).table_valued("value").c.value)


def openid_array(openids: Sequence[str]) -> ColumnElement[Any]:
    """Return PostgreSQL's array of the OpenIDs.

    One text as a rule, since the driver takes ten times as long to write an array.
    """
    text = SEPARATOR.join(openids)
    if text.count(SEPARATOR) == len(openids) - 1:
        return func.string_to_array(text, SEPARATOR)
    return literal(list(openids), postgresql.ARRAY(Text))


def insert_new(
    connection: Connection,
    table: Table,
    values: Mapping[str, Any],
    openids: Sequence[str],
    *,
    assume_new: bool = False,
) -> int:
    """Insert a row of `values` for each OpenID that the table has not got; return how many.

    With `assume_new`, which costs less, one that it has got is an IntegrityError.
    """
    openid = openid_rows(connection, openids).subquery().c[0]
    statement = insert(connection.dialect)(table).from_select(
        [*values, "openid"],
        # SQLite takes the ON of ON CONFLICT for a join's, unless a WHERE stands before it.
        select(*values.values(), openid).where(openid.is_not(None)),
    )
    return connection.execute(
        statement if assume_new else statement.on_conflict_do_nothing(),
        # SQLAlchemy looks at the count of an INSERT only if it is asked to.
        execution_options={"preserve_rowcount": True},
    ).rowcount
