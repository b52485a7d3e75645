"""How to open a database and run a transaction; the driver's errors become ours.

Outside this folder nothing imports SQLAlchemy or a driver.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, exc

from syncjob.database.dialects import dialect_of, dialect_of_url
from syncjob.errors import DatabaseError
from syncjob.interruption import interruption


def open_engine(
    database_url: str, *, create: bool = False, name: str = "syncjob", timeouts: bool = True
) -> Engine:
    """Return an engine for the URL; it connects when first used.

    A SQLite file that does not exist is created only with `create`, readable by its owner alone.
    PostgreSQL's sessions are called `name`; without `timeouts` a statement may take any time.
    Raises SettingsError for a malformed URL and DatabaseError for a missing or unreachable file.
    """
    dialect = dialect_of_url(database_url)
    return dialect.open_engine(database_url, create=create, name=name, timeouts=timeouts)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes; it commits at the end of the block or not at all."""
    with _transaction(engine, writes=True) as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads: its statements see one state where they can."""
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
                connection.info.clear()  # what it created in the session is rolled back
            with suppress(exc.DBAPIError):  # the connection may be lost
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
        raise  # the store's methods handle it
    except exc.DBAPIError as error:
        lost = error.connection_invalidated or isinstance(error, exc.OperationalError)
        # Not "from error": its text holds the statement, and at times the row.
        raise dialect_of(engine).error(
            engine.url, error.orig, lost=lost, committing=step.is_committing
        ) from None
    except engine.dialect.loaded_dbapi.Error as error:
        # From SQLite's BEGIN, which does not go through SQLAlchemy.
        raise dialect_of(engine).error(engine.url, error, lost=True, committing=False) from None
    except (exc.InterfaceError, exc.InvalidRequestError, exc.TimeoutError) as error:
        raise DatabaseError(f"the database failed: {type(error).__name__}") from None
