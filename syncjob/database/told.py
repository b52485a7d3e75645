"""What WeChat told of people, on its way into the followers table.

A temporary table that is filled the fast way of each database, and read by statements that work on
all its rows at once. It is empty at the beginning of every transaction.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Computed,
    Connection,
    MetaData,
    Select,
    Table,
    column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.functions import FunctionElement

from syncjob.database.tables import followers
from syncjob.model import UserInfo

_FIELDS = UserInfo.__struct_fields__
PROFILE_FIELDS = tuple(name for name in _FIELDS if name not in ("openid", "subscribe"))


class _InstantOf(FunctionElement[datetime]):
    """A column of seconds since 1970 as an instant."""

    inherit_cache = True


@compiles(_InstantOf, "postgresql")
def _to_timestamp(element: Any, compiler: Any, **options: Any) -> str:
    return f"to_timestamp({compiler.process(element.clauses, **options)})"


@compiles(_InstantOf, "sqlite")
def _strftime(element: Any, compiler: Any, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%S.000000', {seconds}, 'unixepoch')"


def _told(name: str) -> Column[Any]:
    if name != "subscribe_time":
        return Column(name, followers.c[name].type)
    # The database writes an instant faster than Python.
    instant = Computed(_InstantOf(column("seconds")), persisted=True)
    return Column(name, followers.c[name].type, instant)


told = Table(
    "told",
    MetaData(),
    Column("seconds", BigInteger),
    *(_told(name) for name in ("openid", *PROFILE_FIELDS, "first_page")),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DELETE ROWS",
)

_CREATE = CreateTable(told, if_not_exists=True)
# Rows whose text is made at once: with one character beyond 16 bits, a row takes 2 KB.
_PIECE = 250
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def stage(connection: Connection, infos: Sequence[UserInfo], pages: Mapping[str, int]) -> None:
    """Fill the table with these, of distinct OpenIDs, and nothing else.

    `pages` are those that list them and are not stored yet.
    """
    _make_empty(connection)
    if not infos:
        return
    columns = _columns(infos, pages)
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy(f"COPY told ({names}) FROM STDIN") as copy:
            for start in range(0, len(infos), _PIECE):
                piece = slice(start, start + _PIECE)
                copy.write(_copy_text({name: column[piece] for name, column in columns.items()}))
    else:
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO told ({names}) VALUES ({marks})"  # noqa: S608 - columns of ours
        connection.exec_driver_sql(insert, _sqlite_rows(columns))


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


# Values are written column by column: those of one are of one type, and need no look at each.
_Columns = Mapping[str, Sequence[Any]]


def _columns(infos: Sequence[UserInfo], pages: Mapping[str, int]) -> _Columns:
    """Return the columns that hold anything."""
    names = ["seconds" if name == "subscribe_time" else name for name in _FIELDS]
    columns: dict[str, Sequence[Any]] = dict(
        zip(names, zip(*map(astuple, infos), strict=True), strict=True)
    )
    del columns["subscribe"]
    if pages:
        columns["first_page"] = [*map(pages.get, columns["openid"])]
    return {
        name: column
        for name, column in columns.items()
        if column[0] is not None or column.count(None) < len(column)
    }


# How values other than texts are written. Those of Python's own refuse None.
_FOR_COPY: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("seconds", "sex", "groupid", "qr_scene", "first_page"), int.__repr__),
    "tagid_list": list.__repr__,  # of numbers, which Python writes as JSON does
    "extra": json.dumps,
}
_FOR_SQLITE: dict[str, Callable[[Any], str]] = {"tagid_list": str, "extra": json.dumps}


def _copy_text(columns: _Columns) -> str:
    """Write rows in COPY's text format."""
    rows = len(columns["openid"])
    with suppress(TypeError):  # a value that is absent
        plain = [
            map(_FOR_COPY[name], column) if name in _FOR_COPY else column
            for name, column in columns.items()
        ]
        text = _lines(plain)
        if (text.count("\t"), text.count("\n")) == (rows * (len(columns) - 1), rows) and not (
            "\r" in text or "\\" in text
        ):
            return text
    # Nor have all values what COPY reads as itself: somebody's nickname may hold a tab.
    return _lines([_careful(column, _FOR_COPY.get(name)) for name, column in columns.items()])


def _lines(columns: Sequence[Iterable[str]]) -> str:
    return "\n".join([*map("\t".join, zip(*columns, strict=True)), ""])


def _careful(column: Sequence[Any], write: Callable[[Any], str] | None) -> Sequence[str]:
    """Write a column's values, those that are absent among them, so that COPY reads them again."""
    if write is not None:
        column = [None if value is None else write(value) for value in column]
    return [r"\N" if value is None else value.translate(_ESCAPES) for value in column]


def _sqlite_rows(columns: _Columns) -> Sequence[tuple[Any, ...]]:
    """Write values as SQLAlchemy stores them in SQLite: JSON as text."""
    written = [
        [None if value is None else write(value) for value in column]
        if (write := _FOR_SQLITE.get(name))
        else column
        for name, column in columns.items()
    ]
    return list(zip(*written, strict=True))
