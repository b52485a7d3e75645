"""Transactions of the store, and how they are repeated.

A public method of a subject (`store.runs.start`) is one transaction: `reads` or `writes` stands
above it, and it gets the open transaction as its first argument.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import IntegrityError

from syncjob.database.clock import Clock, DatabaseClock
from syncjob.database.dialects import dialect_of
from syncjob.database.dialects.base import Dialect
from syncjob.database.engine import reading, writing
from syncjob.database.retry import PATIENCE, retrying
from syncjob.errors import DatabaseError

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Subject")


class NotNew(Exception):
    """A step that assumes that all its rows are new has met one that is not."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction, and what its statements need to know of the database."""

    connection: Connection
    dialect: Dialect
    clock: DatabaseClock

    def get_now(self) -> datetime:
        """Return the time by the database's clock."""
        return self.connection.execute(select(self.clock.now())).scalar_one()


class Database:
    """Runs steps, each in one transaction; repeats those of which certainly nothing was stored.

    For `patience` seconds at most.
    """

    def __init__(
        self, engine: Engine, clock: Clock | None = None, *, patience: float = PATIENCE
    ) -> None:
        self.engine = engine
        self._patience = patience
        self.dialect = dialect_of(engine)
        self.clock = DatabaseClock(self.dialect, clock)

    def read(self, step: Callable[[Transaction], T]) -> T:
        """Run a step that only reads: all its statements see one state where they can."""

        def attempt() -> T:
            with reading(self.engine) as connection:
                return step(Transaction(connection, self.dialect, self.clock))

        return retrying(attempt, self._patience)

    def write(self, step: Callable[[Transaction], T]) -> T:
        """Run a step that writes: it is stored whole, or not at all."""
        return retrying(functools.partial(self._write, step), self._patience)

    def write_new(self, step: Callable[[Transaction, bool], T]) -> T:
        """Run a step that inserts rows: with `assume_new`, and again without if a row is not new.

        The step raises IntegrityError or NotNew for such a row, which is rare. A plain INSERT costs
        PostgreSQL a sixth to a quarter less than one with ON CONFLICT.
        """

        def attempt() -> T:
            try:
                return self._write(lambda tx: step(tx, True))
            except (IntegrityError, NotNew):  # nothing of it is stored
                return self._write(lambda tx: step(tx, False))

        return retrying(attempt, self._patience)

    def _write(self, step: Callable[[Transaction], T]) -> T:
        with writing(self.engine) as connection:
            return step(Transaction(connection, self.dialect, self.clock))


class Subject(Protocol):
    """A part of the store: has the database in which its methods are transactions."""

    @property
    def database(self) -> Database:
        """The database."""


def reads(method: Callable[Concatenate[S, Transaction, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run the method in a transaction that only reads; the caller leaves `tx` out."""

    @functools.wraps(method)
    def transaction(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.read(lambda tx: method(self, tx, *args, **kwargs))

    return transaction


def writes(method: Callable[Concatenate[S, Transaction, P], T]) -> Callable[Concatenate[S, P], T]:
    """Run the method in a transaction that writes; the caller leaves `tx` out."""

    @functools.wraps(method)
    def transaction(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.database.write(lambda tx: method(self, tx, *args, **kwargs))

    return transaction


def require_stored(table: str, rows: int, expected: int) -> None:
    """Raise DatabaseError unless the database has counted as many rows as were sent.

    What a run reports as stored is what the database has counted, never what was meant to be.
    """
    if rows < expected:
        raise DatabaseError(
            f"the database stored {rows} of {expected} rows in {table} and named no error; a "
            "trigger or a rule drops them: remove it"
        )
