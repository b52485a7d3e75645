"""How a database is opened, and how its errors become ours.

One engine per process. Nothing above this folder sees SQLAlchemy or a driver.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from syncjob.database.failures import translated
from syncjob.errors import DatabaseError, SettingsError
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
# What a session sets unless the role, the database or the URL has: nobody waits for us for ever.
TIMEOUTS = {
    "lock_timeout": "30s",
    "statement_timeout": "10min",
    "idle_in_transaction_session_timeout": "5min",
}
SQLITE_OPTIONS = frozenset({"cache", "mode", "uri"})
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
    url = _parse(database_url)
    if url.get_backend_name() == "sqlite":
        _require_file(url, create=create)
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT / 1000}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    url = url.set(query={**POSTGRESQL_OPTIONS, "application_name": name[:63], **url.query})
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "do_connect", _connect_postgresql)
    if timeouts:
        event.listen(engine, "connect", _set_timeouts)
    return engine


def _parse(database_url: str) -> URL:
    place = database_url.partition("://")[2].partition("?")[0]
    if not database_url.startswith("sqlite") and place.count("@") > 1:
        # Read on, what stands behind the first one would be shown as the host.
        raise SettingsError(
            "SYNCJOB_DATABASE_URL has more than one @; percent-encode those of the password (%40)"
        )
    try:
        url = make_url(database_url)
    except exc.ArgumentError:
        raise SettingsError(
            "SYNCJOB_DATABASE_URL cannot be read as a URL; characters such as @ / : # in a "
            "password must be percent-encoded"
        ) from None
    except ValueError:  # a port that is no number
        raise SettingsError("SYNCJOB_DATABASE_URL has a port that is no number") from None
    if url.get_backend_name() == "sqlite":
        unknown = sorted(url.query.keys() - SQLITE_OPTIONS)
        if unknown:
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL has the option {unknown[0]!r}; expected none, or of "
                f"{', '.join(sorted(SQLITE_OPTIONS))}"
            )
    else:
        # `postgres://` is what hosting companies print; SQLAlchemy knows only the long name.
        url = url.set(drivername="postgresql+psycopg")
    return url


def _require_file(url: URL, *, create: bool) -> None:
    if not url.database or url.database == ":memory:":
        raise SettingsError(
            "SYNCJOB_DATABASE_URL names no SQLite file; expected sqlite:////path/to/file.db"
        )
    path = Path(url.database.removeprefix("file:"))  # SQLite's own URIs begin so
    try:
        if not path.parent.exists():
            raise DatabaseError(
                f"the folder of the database file {str(path)!r} does not exist; make it, for the "
                "user that runs syncjob"
            )
        if create:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not path.exists():
            raise DatabaseError(
                f"the database file {str(path)!r} does not exist (run: syncjob migrate)"
            )
    except OSError as error:
        raise DatabaseError(
            f"the database file {str(path)!r} cannot be opened: {error.strerror}; "
            "check the path and the rights of the user that runs syncjob"
        ) from None


def _connect_postgresql(
    dialect: Any, _record: object, arguments: Any, options: dict[str, Any]
) -> Any:
    # A name server that does not answer would hold this thread in C, where no signal is handled.
    try:
        return within(CONNECT_LIMIT, partial(dialect.connect, *arguments, **options))
    except Overdue:
        raise dialect.loaded_dbapi.OperationalError("connection timeout expired") from None


def _set_timeouts(connection: Any, _record: object) -> None:
    # Not as options of the connection: poolers in between refuse these.
    names = ", ".join(f"'{name}'" for name in TIMEOUTS)
    unset = connection.execute(
        f"SELECT name FROM pg_settings WHERE name IN ({names}) AND setting = '0'"  # noqa: S608 - names of ours
    ).fetchall()
    for (name,) in unset:
        connection.execute("SELECT set_config(%s, %s, false)", (name, TIMEOUTS[name]))
    connection.commit()


def _prepare_sqlite(connection: "sqlite3.Connection", _record: object) -> None:
    # The driver's own transaction control would commit before DDL; _begin_sqlite does it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
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
        except BaseException as error:
            if isinstance(error, engine.dialect.loaded_dbapi.Error):
                connection.invalidate()  # in a COPY, which SQLAlchemy does not see
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
        # What was sent to be committed, and not answered, may be stored or not.
        undone = not (step.is_committing and lost and not getattr(error.orig, "sqlstate", None))
        # Not "from error": its text holds the statement, and at times the row.
        raise translated(engine.url, error.orig, lost=lost, undone=undone) from None
    except engine.dialect.loaded_dbapi.Error as error:
        # In a COPY, which SQLAlchemy does not see; it is not the commit that failed.
        raise translated(engine.url, error, lost=True, undone=True) from None
    except (exc.InterfaceError, exc.InvalidRequestError, exc.TimeoutError) as error:
        raise DatabaseError(f"the database failed: {type(error).__name__}") from None
