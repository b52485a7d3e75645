"""SQLite: one file, one writer at a time, and the machine's clock."""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Column,
    ColumnElement,
    Computed,
    Connection,
    CursorResult,
    Engine,
    MetaData,
    Select,
    Table,
    bindparam,
    column,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from syncjob.database.dialects.base import ANOTHERS, INCOMPLETE, Dialect, Staged
from syncjob.database.dialects.sqlite_files import parse_sqlite, path_of, require_file
from syncjob.database.staging import COLUMNS, Columns, columns_of, staged_profiles
from syncjob.errors import DatabaseError
from syncjob.model.health import Health
from syncjob.model.user_info import UserInfo

if TYPE_CHECKING:
    import sqlite3

BUSY_TIMEOUT = 30.0  # seconds that SQLite waits for another program's write to end
# How long SQLite waits for that at a time: Python handles no signal meanwhile.
BUSY_SLICE = 0.2  # seconds
# Pages of SQLite's log between two checkpoints: 64 MB. Rows come in no order, so that each group
# of them changes the same pages again; at a checkpoint these are written, and awaited, once.
CHECKPOINT_EVERY = 16_000
CURES = {
    "SQLITE_READONLY": "check the rights of the file and its folder",
    "SQLITE_CANTOPEN": "check the path and the rights of its folder",
    "SQLITE_BUSY": "another program holds it; close that and run again",
    "SQLITE_LOCKED": "another program holds it; close that and run again",
    "SQLITE_FULL": "free some disk space and run again",
    "SQLITE_IOERR": "check the disk and the space left on it, and run again",
    "SQLITE_NOTADB": "it is no SQLite file; check SYNCJOB_DATABASE_URL",
    "SQLITE_CORRUPT": "restore it from a backup",
}
TABLES = text("SELECT lower(name) FROM sqlite_master WHERE lower(name) IN :names").bindparams(
    bindparam("names", expanding=True)
)


class SQLite(Dialect):
    """A SQLite file."""

    name = "sqlite"
    reconnects_when_created = True  # connections to a file of ours use WAL from the next one on

    def open_engine(self, database_url: str, *, create: bool, name: str, timeouts: bool) -> Engine:
        """Return an engine; with `create`, make a file that does not exist."""
        url = parse_sqlite(database_url)
        require_file(url, create=create)
        timeout = float(str(url.query.get("timeout", BUSY_TIMEOUT)))
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": timeout})
        event.listen(engine, "connect", partial(_prepare, timeout))
        event.listen(engine, "begin", partial(_begin, timeout))
        return engine

    def place_of(self, connection: Connection) -> str:
        """Say which file."""
        file = "SELECT file FROM pragma_database_list WHERE name = 'main'"
        return f"SQLite, {connection.exec_driver_sql(file).scalar_one()}"

    def error(self, url: URL, error: Any, *, lost: bool, committing: bool) -> DatabaseError:
        """Return the error that the driver's means, with its cure."""
        message = str(error)
        code = getattr(error, "sqlite_errorname", "")
        cure = next((cure for sign, cure in CURES.items() if code.startswith(sign)), "")
        if code == "SQLITE_ERROR" and re.match("no such (table|column): ", message):
            cure = INCOMPLETE
        if code == "SQLITE_ERROR" and message.endswith(" already exists"):
            cure = ANOTHERS
        where = f"the database file {str(path_of(url))!r}"
        return DatabaseError(f"{where} cannot be used: {message}; {cure or 'look at the file'}")

    def get_health(self, engine: Engine) -> Health:
        """Look at the file and its folder."""
        from syncjob.database.dialects.sqlite_health import get_health

        return get_health(engine)

    def find_tables(
        self, connection: Connection, names: Sequence[str]
    ) -> list[tuple[str, str, bool]]:
        """Return the ones that the file has; SQLite does not distinguish case."""
        return [(name, "main", True) for name in connection.scalars(TABLES, {"names": names})]

    def require_encoding(self, connection: Connection) -> None:
        """Do nothing: SQLite's texts are Unicode."""

    def lock_migrations(self, connection: Connection) -> None:
        """Do nothing: a transaction that writes has the file's lock from its start."""

    def insert(self, table: Table) -> Any:
        """Return SQLite's INSERT, which has ON CONFLICT."""
        return sqlite.insert(table)

    def openid_rows(self, openids: Sequence[str]) -> Select[tuple[str]]:
        """Return a SELECT from one JSON array."""
        return select(func.json_each(literal(list(openids), JSON)).table_valued("value").c.value)

    def later(self, one: Any, other: Any) -> ColumnElement[Any]:
        """Return the greater one; max() of two is NULL if one of them is."""
        return func.coalesce(func.max(one, other), one, other)

    def stage(
        self, connection: Connection, infos: Sequence[UserInfo], pages: Mapping[str, int]
    ) -> Staged:
        """Stage the answers in a temporary table."""
        return StagedTable(connection, columns_of(infos, pages))


DIALECT = SQLite()


def _prepare(timeout: float, connection: "sqlite3.Connection", _record: object) -> None:
    # The driver's own transaction control would commit before DDL; _begin does it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {timeout * 1000:.0f}")
    # WAL is written into the file, and another program's file is not ours to change.
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'syncjob_version'").fetchone():
        # While another program writes, SQLite refuses the change at once. It is a matter of speed:
        # a later connection makes it.
        with suppress(connection.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_EVERY}")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(timeout: float, connection: Connection) -> None:
    # A transaction that means to write takes the lock at once: one that starts by reading and
    # then finds the lock taken cannot wait for it, SQLite fails it on the spot.
    session: Any = connection.connection.driver_connection
    if not connection.get_execution_options().get("writes", False):
        session.execute("BEGIN")
        return
    until = time.monotonic() + timeout
    session.execute(f"PRAGMA busy_timeout = {min(timeout, BUSY_SLICE) * 1000:.0f}")
    try:
        while True:
            try:
                session.execute("BEGIN IMMEDIATE")
                return
            except session.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= until:
                    raise
    finally:
        session.execute(f"PRAGMA busy_timeout = {timeout * 1000:.0f}")


# --- staging -------------------------------------------------------------------------------------


def _column(staged: Column[Any]) -> Column[Any]:
    if staged.name != "subscribe_time":
        return Column(staged.name, staged.type)
    # SQLite writes an instant faster than Python.
    instant = func.strftime("%Y-%m-%d %H:%M:%S.000000", column("seconds"), "unixepoch")
    return Column(staged.name, staged.type, Computed(instant, persisted=True))


CREATE = CreateTable(
    Table(
        staged_profiles.name,
        MetaData(),
        Column("seconds", BigInteger),
        *map(_column, staged_profiles.c),
        prefixes=["TEMPORARY"],
    ),
    if_not_exists=True,
)
# As SQLAlchemy stores JSON in SQLite.
WRITE_JSON: Mapping[str, Callable[[Any], str]] = {"tagid_list": str, "extra": json.dumps}


class StagedTable:
    """Answers in a temporary table of the connection."""

    def __init__(self, connection: Connection, columns: Columns) -> None:
        self._connection = connection
        self._fill(columns)

    def execute(
        self,
        statement: Any,
        values: Mapping[str, Any] | None = None,
        *,
        columns: tuple[str, ...] = COLUMNS,
        **options: Any,
    ) -> CursorResult[Any]:
        """Execute a statement that reads `staged_profiles`."""
        return self._connection.execute(statement, values or {}, execution_options=options)

    def _fill(self, columns: Columns) -> None:
        """Fill the table with these rows and nothing else."""
        name = staged_profiles.name
        info = self._connection.info  # emptied when the transaction that made the table is undone
        if name not in info:
            self._connection.execute(CREATE)
            info[name] = True
        self._connection.execute(staged_profiles.delete())
        if not columns:
            return
        names = ", ".join("seconds" if name == "subscribe_time" else name for name in columns)
        marks = ", ".join("?" * len(columns))
        insert = f"INSERT INTO {name} ({names}) VALUES ({marks})"  # noqa: S608 - names of ours
        self._connection.exec_driver_sql(insert, _rows(columns))


def _rows(columns: Columns) -> Sequence[tuple[Any, ...]]:
    written: list[Iterable[Any]] = [
        [None if value is None else write(value) for value in values]
        if (write := WRITE_JSON.get(name))
        else values
        for name, values in columns.items()
    ]
    return list(zip(*written, strict=True))
