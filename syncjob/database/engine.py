"""How a database is opened, and how its errors become ours.

One engine per process. Nothing above this folder sees SQLAlchemy or a driver.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from syncjob.errors import DatabaseError, SettingsError
from syncjob.interruption import interruption

CONNECT_TIMEOUT = 10  # seconds
SQLITE_OPTIONS = frozenset({"cache", "mode", "uri"})
BUSY_TIMEOUT = 30_000  # milliseconds that SQLite waits for another program's write to end


def open_engine(database_url: str, *, create: bool = False) -> Engine:
    """Return an engine for the URL; it connects when first used.

    A SQLite file that does not exist is created only with `create`, readable by its owner alone.
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
    defaults = {"application_name": "syncjob", "connect_timeout": str(CONNECT_TIMEOUT)}
    url = url.set(query={**defaults, **url.query})
    return create_engine(url, hide_parameters=True)


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


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction control would commit before DDL; _begin_sqlite does it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that means to write takes the lock at once: one that starts by reading and
    # then finds the lock taken cannot wait for it, SQLite fails it on the spot.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


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
    with interruption.deferred(), _our_errors(engine), engine.connect() as connection:
        connection.execution_options(writes=writes)
        try:
            with connection.begin():
                yield connection
        except BaseException:
            connection.info.clear()  # what was made in the session is undone
            raise


@contextmanager
def _our_errors(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into DatabaseError, without SQL, parameters or row values."""
    try:
        yield
    except exc.IntegrityError:
        raise  # means something to the store method it arises in
    except exc.DBAPIError as error:
        # Not "from error": its text holds the statement, and at times the row.
        raise DatabaseError(_sentence(engine, error.orig)) from None
    except (exc.InterfaceError, exc.InvalidRequestError, exc.TimeoutError) as error:
        raise DatabaseError(f"the database failed: {type(error).__name__}") from None


def _sentence(engine: Engine, error: Any) -> str:
    if isinstance(error, sqlite3.Error):
        where = f"the database file {engine.url.database!r}"
        text = str(error)
        cures = {
            "readonly": "check the rights of the file and its folder",
            "unable to open": "check the path and the rights of its folder",
            "locked": "another program holds it; close that and run again",
            "full": "free some disk space and run again",
            "not a database": "it is no SQLite file; check SYNCJOB_DATABASE_URL",
            "malformed": "restore it from a backup",
        }
        cure = next((cure for sign, cure in cures.items() if sign in text), "look at the file")
        return f"{where} cannot be used: {text}; {cure}"
    # DETAIL and CONTEXT lines may quote rows; the primary message never does.
    diagnostics = getattr(error, "diag", None)
    text = getattr(diagnostics, "message_primary", None) or " ".join(str(error).split())[:400]
    place = f"{engine.url.host or 'local socket'}/{engine.url.database or ''}"
    return f"the database {place} cannot be used: {text}"
