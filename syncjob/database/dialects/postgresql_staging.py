"""Staging on PostgreSQL: nothing is stored, a CTE makes the rows of the statement's parameters.

One text a column, so that no session has to keep anything for the next statement: temporary tables
and a pooler's transaction mode do not go together.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import CTE, Connection, CursorResult, column, text

from syncjob.database.staging import COLUMNS, Columns, columns_of
from syncjob.model.user_info import UserInfo

NUMBERS = {
    "sex": "smallint",
    "subscribe_time": "bigint",
    "groupid": "bigint",
    "qr_scene": "bigint",
    "first_page": "integer",
}
WRITE_JSON: Mapping[str, Callable[[Any], str]] = {
    "tagid_list": list.__repr__,  # of numbers, which Python writes as JSON does; not None
    "extra": json.dumps,
}
# Two characters that no text has as a rule: ASCII's own for what they do here.
MARKS = ("\x1f", "\x1e")


class StagedParameters:
    """Answers as parameters, which each statement turns into rows again."""

    def __init__(
        self, connection: Connection, infos: Sequence[UserInfo], pages: Mapping[str, int]
    ) -> None:
        self._connection = connection
        self._parameters = _parameters(columns_of(infos, pages), len(infos))

    def execute(
        self,
        statement: Any,
        values: Mapping[str, Any] | None = None,
        *,
        columns: tuple[str, ...] = COLUMNS,
        **options: Any,
    ) -> CursorResult[Any]:
        """Execute a statement that reads these columns of `staged_profiles`."""
        names = ("rows", "separator", "absent", *columns)
        staged = {f"staged_{name}": self._parameters[name] for name in names}
        return self._connection.execute(
            _with_rows(statement, columns), {**(values or {}), **staged}, execution_options=options
        )


@lru_cache(maxsize=16)  # so that SQLAlchemy recognizes the statements that it has compiled
def _with_rows(statement: Any, columns: tuple[str, ...]) -> Any:
    return statement.add_cte(_cte(columns))


@lru_cache(maxsize=8)
def _cte(columns: tuple[str, ...]) -> CTE:
    """Return the rows of the parameters.

    As columns of a SELECT, several unnest() run in step and store nothing in between; in FROM each
    would fill a table of its own first.
    """
    rows = ", ".join(f"{_unnested(name)} AS {name}" for name in columns)
    statement = text(f"SELECT {rows} LIMIT :staged_rows")
    return statement.columns(*map(column, columns)).cte("staged_profiles")


def _unnested(name: str) -> str:
    if name in NUMBERS:
        rows = f"unnest(CAST(:staged_{name} AS {NUMBERS[name]}[]))"
        return f"to_timestamp({rows})" if name == "subscribe_time" else rows
    rows = f"unnest(string_to_array(:staged_{name}, :staged_separator, :staged_absent))"
    return f"CAST({rows} AS jsonb)" if name in WRITE_JSON else rows


def _parameters(columns: Columns, rows: int) -> dict[str, Any]:
    """Return a text for each column that holds any value, and how the texts are to be split."""
    numbers = {name: _array(columns[name]) for name in NUMBERS if name in columns}
    texts = {name: values for name, values in columns.items() if name not in NUMBERS}
    for name in WRITE_JSON.keys() & texts:
        write = WRITE_JSON[name]
        texts[name] = [None if value is None else write(value) for value in texts[name]]
    marks = MARKS
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


def _joined(texts: Columns, marks: tuple[str, str]) -> dict[str, str] | None:
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
        # PostgreSQL splits an empty text into no value at all. A second one is behind the last row.
        joined[name] = text or separator
    return joined


def _unused(texts: Columns) -> tuple[str, str]:
    """Return two characters that no text has."""
    used = {*"".join(value for values in texts.values() for value in values if value)}
    unused = (mark for mark in map(chr, range(1, 0xD800)) if mark not in used)
    return next(unused), next(unused)
