"""What WeChat told of people, on its way into the followers table.

A temporary table that is filled the fast way of each database, and read by statements that work on
all its rows at once. It is empty at the beginning of every transaction.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Column, ColumnElement, Connection, MetaData, Select, Table
from sqlalchemy.schema import CreateTable

from syncjob.database.tables import followers
from syncjob.model import UserInfo

_FIELDS = UserInfo.__struct_fields__
PROFILE_FIELDS = tuple(name for name in _FIELDS if name not in ("openid", "subscribe"))

told = Table(
    "told",
    MetaData(),
    *(Column(name, followers.c[name].type) for name in ("openid", *PROFILE_FIELDS)),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)

_CREATE = CreateTable(told, if_not_exists=True)
_NAMES = ", ".join(told.columns.keys())
_COPY = f"COPY told ({_NAMES}) FROM STDIN"
_INSERT = f"INSERT INTO told ({_NAMES}) VALUES ({', '.join('?' * len(told.columns))})"  # noqa: S608 - columns of ours
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def stage(connection: Connection, infos: Sequence[UserInfo]) -> None:
    """Fill the table with these, of distinct OpenIDs, and nothing else."""
    _make_empty(connection)
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.write(_copy_text(infos))
    elif infos:
        connection.exec_driver_sql(_INSERT, _sqlite_rows(infos))


def _make_empty(connection: Connection) -> None:
    """See to an empty table; mostly nothing is to be done for that, and each statement costs."""
    transaction = id(connection.get_transaction())
    last = connection.info.get("told")  # forgotten when the transaction that made it is undone
    if last is None:
        connection.execute(_CREATE)
    if last == transaction or connection.dialect.name != "postgresql":
        connection.execute(told.delete())
    connection.info["told"] = transaction


def looked_up(statement: Select[Any]) -> ColumnElement[Any]:
    """Return what the statement finds for a staged row: looked up by index, row by row.

    An EXISTS might be planned as a join with the whole followers table.
    """
    return statement.limit(1).correlate(told).scalar_subquery()


# Values are written column by column: most columns are of one type, and need no look at each value.


def _columns(infos: Sequence[UserInfo]) -> list[Sequence[Any]]:
    """Return the table's columns; there must be rows."""
    columns: list[Sequence[Any]] = list(zip(*map(astuple, infos), strict=True))
    times = columns[_FIELDS.index("subscribe_time")]
    columns[_FIELDS.index("subscribe_time")] = [
        None if seconds is None else datetime.fromtimestamp(seconds, UTC) for seconds in times
    ]
    del columns[_FIELDS.index("subscribe")]
    return columns


def _copy_text(infos: Sequence[UserInfo]) -> str:
    """Write rows in COPY's text format."""
    if not infos:
        return ""
    columns = _columns(infos)
    text = _lines(columns)
    nulls = sum([column.count(None) for column in columns])
    separators = (text.count("\t"), text.count("\n"), text.count("\r"), text.count("\\"))
    if separators == (len(infos) * (len(columns) - 1), len(infos), 0, nulls):
        return text
    # Somebody's nickname or remark holds a separator, which is rare: write them all with care.
    return _lines([[_escaped(value) for value in column] for column in columns])


def _lines(columns: Sequence[Sequence[Any]]) -> str:
    rows = zip(*[_written(column, _FOR_COPY) for column in columns], strict=True)
    return "\n".join([*map("\t".join, rows), ""])


def _sqlite_rows(infos: Sequence[UserInfo]) -> Sequence[tuple[Any, ...]]:
    """Write values as SQLAlchemy stores them in SQLite: UTC text, and JSON as text."""
    columns = _columns(infos)
    return list(zip(*[_written(column, _FOR_SQLITE) for column in columns], strict=True))


def _written(column: Sequence[Any], writers: dict[type, Callable[[Any], Any]]) -> Iterable[Any]:
    """Write a column's values; those of a type without a writer stay what they are."""
    kinds = set(map(type, column))
    if kinds.isdisjoint(writers):
        return column
    if len(kinds) == 1:
        return map(writers[kinds.pop()], column)
    return [write(value) if (write := writers.get(type(value))) else value for value in column]


_FOR_COPY: dict[type, Callable[[Any], str]] = {
    int: str,
    type(None): lambda _: r"\N",
    datetime: datetime.isoformat,
    list: str,  # of numbers, which Python writes as JSON does
    dict: json.dumps,
}
_FOR_SQLITE: dict[type, Callable[[Any], str]] = {
    datetime: lambda instant: instant.isoformat(" ", "microseconds")[:26],  # without the offset
    list: str,
    dict: json.dumps,
}


def _escaped(value: Any) -> Any:
    value = json.dumps(value) if type(value) is dict else value
    return value.translate(_ESCAPES) if type(value) is str else value
