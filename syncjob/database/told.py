"""What WeChat told of people, on its way into the followers table.

Statements read it as the table `told`, and store all its rows at once. On SQLite it is a temporary
table. On PostgreSQL it is nowhere stored: a CTE of that name makes the rows of the statement's
parameters, one text a column, so that no session has to keep anything for the next statement.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Computed,
    Connection,
    CursorResult,
    MetaData,
    Select,
    Table,
    column,
    func,
    text,
)
from sqlalchemy.schema import CreateTable

from syncjob.database.tables import followers
from syncjob.model import UserInfo

_FIELDS = UserInfo.__struct_fields__
PROFILE_FIELDS = tuple(name for name in _FIELDS if name not in ("openid", "subscribe"))
COLUMNS = ("openid", *PROFILE_FIELDS, "first_page")


def _told(name: str) -> Column[Any]:
    if name != "subscribe_time":
        return Column(name, followers.c[name].type)
    # The database writes an instant faster than Python.
    instant = func.strftime("%Y-%m-%d %H:%M:%S.000000", column("seconds"), "unixepoch")
    return Column(name, followers.c[name].type, Computed(instant, persisted=True))


told = Table(
    "told",
    MetaData(),
    Column("seconds", BigInteger),
    *map(_told, COLUMNS),
    prefixes=["TEMPORARY"],
)

_CREATE = CreateTable(told, if_not_exists=True)


class Staged:
    """Answers about distinct OpenIDs, which statements read as `told`."""

    def __init__(
        self, connection: Connection, infos: Sequence[UserInfo], pages: Mapping[str, int]
    ) -> None:
        """Stage these; `pages` are those that list them and are not stored yet."""
        self._connection = connection
        self._parameters: Mapping[str, Any] = {}
        if connection.dialect.name == "postgresql":
            self._parameters = _parameters(_columns(infos, pages), len(infos))
        else:
            _fill(connection, _columns(infos, pages))

    def execute(
        self,
        statement: Any,
        values: Mapping[str, Any] | None = None,
        *,
        columns: tuple[str, ...] = COLUMNS,
        **options: Any,
    ) -> CursorResult[Any]:
        """Execute a statement that reads these `columns` of `told`."""
        values = dict(values or {})
        if self._parameters:
            statement = _with_rows(statement, columns)
            names = ("rows", "separator", "absent", *columns)
            values |= {f"told_{name}": self._parameters[name] for name in names}
        return self._connection.execute(statement, values, execution_options=options)


def looked_up(statement: Select[Any]) -> ColumnElement[Any]:
    """Return what the statement finds for a staged row: looked up by index, row by row.

    An EXISTS might be planned as a join with the whole followers table.
    """
    return statement.limit(1).correlate(told).scalar_subquery()


# Values are written column by column: those of one are of one type, and need no look at each.
_Columns = Mapping[str, Sequence[Any]]


def _columns(infos: Sequence[UserInfo], pages: Mapping[str, int]) -> _Columns:
    """Return the columns that hold anything."""
    if not infos:
        return {}
    columns: dict[str, Sequence[Any]] = dict(
        zip(_FIELDS, zip(*map(astuple, infos), strict=True), strict=True)
    )
    del columns["subscribe"]
    if pages:
        columns["first_page"] = [*map(pages.get, columns["openid"])]
    return {
        name: column
        for name, column in columns.items()
        if column[0] is not None or column.count(None) < len(column)
    }


# --- PostgreSQL ------------------------------------------------------------------------------

_NUMBERS = {
    "sex": "smallint",
    "subscribe_time": "bigint",
    "groupid": "bigint",
    "qr_scene": "bigint",
    "first_page": "integer",
}
_WRITE_JSON: Mapping[str, Callable[[Any], str]] = {
    "tagid_list": list.__repr__,  # of numbers, which Python writes as JSON does; not None
    "extra": json.dumps,
}


# Two characters that no text has as a rule: ASCII's own for what they do here.
_MARKS = ("\x1f", "\x1e")


@lru_cache(maxsize=16)  # so that SQLAlchemy knows those again that are kept
def _with_rows(statement: Any, columns: tuple[str, ...]) -> Any:
    return statement.add_cte(_cte(columns))


@lru_cache(maxsize=8)
def _cte(columns: tuple[str, ...]) -> CTE:
    """Return the rows of the parameters.

    As columns of a SELECT, several unnest() run in step and store nothing in between; in FROM each
    would fill a table of its own first.
    """
    rows = ", ".join(f"{_unnested(name)} AS {name}" for name in columns)
    return text(f"SELECT {rows} LIMIT :told_rows").columns(*map(column, columns)).cte("told")


def _unnested(name: str) -> str:
    if name in _NUMBERS:
        rows = f"unnest(CAST(:told_{name} AS {_NUMBERS[name]}[]))"
        return f"to_timestamp({rows})" if name == "subscribe_time" else rows
    rows = f"unnest(string_to_array(:told_{name}, :told_separator, :told_absent))"
    return f"CAST({rows} AS jsonb)" if name in _WRITE_JSON else rows


def _parameters(columns: _Columns, rows: int) -> dict[str, Any]:
    """Return a text for each column that holds anything, and how the texts are to be read."""
    numbers = {name: _array(columns[name]) for name in _NUMBERS if name in columns}
    texts = {name: values for name, values in columns.items() if name not in _NUMBERS}
    for name in _WRITE_JSON.keys() & texts:
        write = _WRITE_JSON[name]
        texts[name] = [None if value is None else write(value) for value in texts[name]]
    marks = _MARKS
    joined = _joined(texts, marks)
    if joined is None:
        marks = _unused(texts)
        joined = _joined(texts, marks)
    how = {"rows": rows, "separator": marks[0], "absent": marks[1]}
    return {**dict.fromkeys(COLUMNS), **numbers, **(joined or {}), **how}


def _array(numbers: Sequence[int | None]) -> str:
    with suppress(TypeError):  # of None
        return f"{{{','.join(map(int.__repr__, numbers))}}}"
    return f"{{{','.join('NULL' if value is None else str(value) for value in numbers)}}}"


def _joined(texts: _Columns, marks: tuple[str, str]) -> dict[str, str] | None:
    """Join the values of each column; None if one of them holds a mark."""
    separator, absent = marks
    joined = {}
    for name, values in texts.items():
        nulls = values.count(None)
        if nulls:
            values = [absent if value is None else value for value in values]
        text = separator.join(values)
        if text.count(separator) != len(values) - 1 or text.count(absent) != nulls:
            return None
        # PostgreSQL reads nothing as no value at all. A second one is behind the last row.
        joined[name] = text or separator
    return joined


def _unused(texts: _Columns) -> tuple[str, str]:
    used = {*"".join(value for values in texts.values() for value in values if value)}
    unused = (mark for mark in map(chr, range(1, 0xD800)) if mark not in used)
    return next(unused), next(unused)


# --- SQLite ----------------------------------------------------------------------------------

_FOR_SQLITE: Mapping[str, Callable[[Any], str]] = {"tagid_list": str, "extra": json.dumps}


def _fill(connection: Connection, columns: _Columns) -> None:
    """Fill the table with these and nothing else."""
    if "told" not in connection.info:  # forgotten when the transaction that made it is undone
        connection.execute(_CREATE)
        connection.info["told"] = True
    connection.execute(told.delete())
    if not columns:
        return
    names = ", ".join("seconds" if name == "subscribe_time" else name for name in columns)
    marks = ", ".join("?" * len(columns))
    insert = f"INSERT INTO told ({names}) VALUES ({marks})"  # noqa: S608 - columns of ours
    connection.exec_driver_sql(insert, _sqlite_rows(columns))


def _sqlite_rows(columns: _Columns) -> Sequence[tuple[Any, ...]]:
    """Write values as SQLAlchemy stores them in SQLite: JSON as text."""
    written: list[Iterable[Any]] = [
        [None if value is None else write(value) for value in values]
        if (write := _FOR_SQLITE.get(name))
        else values
        for name, values in columns.items()
    ]
    return list(zip(*written, strict=True))
