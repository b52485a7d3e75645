"""How a database is opened, and how its errors become ours.

One engine per process. Nothing above this folder sees SQLAlchemy or a driver.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, exc

from syncjob.database import sessions
from syncjob.database.failures import translated
from syncjob.database.sqlite_files import require_file
from syncjob.database.urls import parse
from syncjob.errors import DatabaseError
from syncjob.interruption import interruption
from syncjob.limits import Overdue, within

if TYPE_CHECKING:
    import sqlite3  # one megabyte that PostgreSQL's users do without

# It says what it does with a statement that a signal ends; what comes of that we say ourselves.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# What the driver is told unless the URL says otherwise: a server that vanishes is noticed within a
# minute, in the middle of a statement too.
POSTGRESQL_OPTIONS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
CONNECT_LIMIT = 60.0  # seconds, with all hosts and addresses, and name servers
BUSY_TIMEOUT = 30_000  # milliseconds that SQLite waits for another program's write to end
# How long SQLite waits for that at a time: Python handles no signal meanwhile.
BUSY_SLICE = 200  # milliseconds
# Pages of SQLite's log between two checkpoints: 64 MB. Rows come in no order, so that each group
# of them changes the same pages again; at a checkpoint these are written, and awaited, once.
CHECKPOINT_EVERY = 16_000


def open_engine(
    database_url: str, *, create: bool = False, name: str = "syncjob", timeouts: bool = True
) -> Engine:
    """Return an engine for the URL; it connects when first used.

    A SQLite file that does not exist is created only with `create`, readable by its owner alone.
    PostgreSQL's sessions are called `name`; without `timeouts` a statement may take any time.
    Raises SettingsError for a malformed URL and DatabaseError for a missing or unreachable file.
    """
    url, options = parse(database_url)
    if url.get_backend_name() == "sqlite":
        require_file(url, create=create)
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT / 1000}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = {**POSTGRESQL_OPTIONS, "application_name": name[:63], **options}
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={**options, **sessions.CONNECT_ARGS},
        use_native_hstore=False,  # asks for what we have no column of
    )
    event.listen(engine, "do_connect", _connect_postgresql)
    event.listen(engine, "begin", sessions.begin(timeouts=timeouts))
    return engine


def place_of(connection: Connection) -> str:
    """Return in words which database a connection is to, without user and password."""
    if connection.dialect.name == "sqlite":
        file = "SELECT file FROM pragma_database_list WHERE name = 'main'"
        return f"SQLite, {connection.exec_driver_sql(file).scalar_one()}"
    # Of the connection: the URL may leave all of it to libpq's variables and defaults.
    driver: Any = connection.connection.driver_connection
    info = driver.info
    schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
    of = "" if schema in ("public", None) else f", schema {schema}"
    return f"PostgreSQL, {info.dbname} on {info.host}:{info.port}{of}"


def _connect_postgresql(
    dialect: Any, _record: object, arguments: Any, options: dict[str, Any]
) -> Any:
    # A name server that does not answer would hold this thread in C, where no signal is handled.
    try:
        return within(CONNECT_LIMIT, partial(dialect.connect, *arguments, **options))
    except Overdue:
        raise dialect.loaded_dbapi.OperationalError("connection timeout expired") from None


def _prepare_sqlite(connection: "sqlite3.Connection", _record: object) -> None:
    # The driver's own transaction control would commit before DDL; _begin_sqlite does it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    # WAL is written into the file, and another program's file is not ours to change.
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'syncjob_version'").fetchone():
        # While another program writes, SQLite refuses the change at once. It is a matter of speed:
        # a later connection makes it.
        with suppress(connection.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_EVERY}")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that means to write takes the lock at once: one that starts by reading and
    # then finds the lock taken cannot wait for it, SQLite fails it on the spot.
    session: Any = connection.connection.driver_connection
    if not connection.get_execution_options().get("writes", False):
        session.execute("BEGIN")
        return
    until = time.monotonic() + BUSY_TIMEOUT / 1000
    session.execute(f"PRAGMA busy_timeout = {min(BUSY_TIMEOUT, BUSY_SLICE)}")
    try:
        while True:
            try:
                session.execute("BEGIN IMMEDIATE")
                return
            except session.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= until:
                    raise
    finally:
        session.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that writes; it commits at the end of the block or not at all."""
    with _transaction(engine, writes=True) as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open one transaction that only reads: all its statements see one state where they can."""
    with _transaction(engine, writes=False) as connection:
        yield connection


@contextmanager
def _transaction(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    with interruption.deferred(), _our_errors(engine) as step, engine.connect() as connection:
        connection.execution_options(writes=writes)
        transaction = connection.begin()
        try:
            yield connection
            step.is_committing = writes
            transaction.commit()
        except BaseException:
            if not connection.invalidated:
                connection.info.clear()  # what was made in the session is undone
            with suppress(exc.DBAPIError):  # of a connection that is lost
                transaction.rollback()
            raise


@dataclass
class _Step:
    is_committing: bool = False


@contextmanager
def _our_errors(engine: Engine) -> Iterator[_Step]:
    """Turn the driver's errors into DatabaseError, without SQL, parameters or row values."""
    step = _Step()
    try:
        yield step
    except exc.IntegrityError:
        raise  # means something to the store method it arises in
    except exc.DBAPIError as error:
        lost = error.connection_invalidated or isinstance(error, exc.OperationalError)
        # What was sent to be committed, and not answered by PostgreSQL itself, may be stored or
        # not: a pooler that has lost the server says so with an SQLSTATE of connections.
        state = getattr(error.orig, "sqlstate", None) or "08"
        undone = not (step.is_committing and lost and state.startswith(("08", "57P")))
        # Not "from error": its text holds the statement, and at times the row.
        raise translated(engine.url, error.orig, lost=lost, undone=undone) from None
    except engine.dialect.loaded_dbapi.Error as error:
        # Of SQLite's BEGIN, which SQLAlchemy does not see.
        raise translated(engine.url, error, lost=True, undone=True) from None
    except (exc.InterfaceError, exc.InvalidRequestError, exc.TimeoutError) as error:
        raise DatabaseError(f"the database failed: {type(error).__name__}") from None
