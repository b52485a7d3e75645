"""The store: the only way to the database for the rest of syncjob.

Every step of the job that must survive a crash is one method and one transaction. Those of a run
end with `runs.advance`, which fails when the run was declared abandoned and so undoes the step.
"""

from datetime import datetime
from types import TracebackType
from typing import Self

from syncjob.database.accounts import Accounts
from syncjob.database.clock import Clock
from syncjob.database.engine import open_engine, reading
from syncjob.database.followers import Followers
from syncjob.database.notices import Notices
from syncjob.database.quotas import Quotas
from syncjob.database.removal import Removal
from syncjob.database.reports import Reports
from syncjob.database.retention import Retention
from syncjob.database.retry import PATIENCE, Busy, retrying
from syncjob.database.runs import Runs
from syncjob.database.schema import require_current, require_only
from syncjob.database.sweeps import Sweeps
from syncjob.database.tokens import Tokens
from syncjob.database.transactions import Database, Transaction
from syncjob.database.unfollows import Unfollows
from syncjob.database.unionids import Unionids


class Store:
    """The stored data, by subject. Thread-safe; close it, or use it in a `with`.

    Each public method of a subject is one transaction, repeated if certainly nothing of it was
    stored and it may succeed later.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.accounts = Accounts(database)
        self.runs = Runs(database)
        self.sweeps = Sweeps(database)
        self.followers = Followers(database)
        self.unionids = Unionids(database)
        self.unfollows = Unfollows(database)
        self.tokens = Tokens(database)
        self.quotas = Quotas(database)
        self.notices = Notices(database)
        self.reports = Reports(database)
        self.retention = Retention(database)
        self.removal = Removal(database)

    @property
    def kind(self) -> str:
        """Which database it is: `postgresql` or `sqlite`."""
        return self._database.dialect.name

    @property
    def writers(self) -> int:
        """How many threads should write side by side: SQLite has one writer at a time."""
        return self._database.dialect.writers

    def get_now(self) -> datetime:
        """Return the time by the clock that the stored instants are read from."""
        return self._database.read(Transaction.get_now)

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_store(
    database_url: str,
    *,
    name: str = "syncjob",
    only_account: str | None = None,
    patience: float = PATIENCE,
    clock: Clock | None = None,
) -> Store:
    """Open the store of a database whose schema is current.

    Raises DatabaseError (SchemaNotCurrent among them) before anything is touched. PostgreSQL's
    sessions are called `name`. A transaction is repeated for `patience` seconds after a failure
    that passes by itself. `clock` replaces the database's clock, for tests. A database that holds
    another account than `only_account` is refused with RehearsalRefused; None: none is.
    """
    engine = open_engine(database_url, name=name)

    def check() -> None:
        with reading(engine) as connection:
            require_only(connection, only_account)
            require_current(connection)

    try:
        # Whatever else than Busy keeps it closed, such as a wrong address, is reported at once.
        retrying(check, patience, when=Busy)
    except BaseException:
        engine.dispose()
        raise
    return Store(Database(engine, clock, patience=patience))
