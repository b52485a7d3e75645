"""What the database knows, only to be looked at: for `status` and its like, and for the job.

No method here writes.
"""

from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, select

from syncjob.database import accounts, report, runs, unfollows
from syncjob.database.clock import Clock, DatabaseClock
from syncjob.database.engine import reading
from syncjob.model import Account, AccountStatus, Candidate, FollowerCount, Run


class Archive:
    """The reading half of the store. Thread-safe; close it, or use it in a `with`."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = DatabaseClock(engine, clock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get_now(self) -> datetime:
        """Return the time by the clock that the stored instants are read from."""
        with reading(self._engine) as connection:
            return connection.execute(select(self._clock.now())).scalar_one()

    def get_account(self, appid: str) -> Account | None:
        """Return the account of that AppID, or None if no run has added it."""
        with reading(self._engine) as connection:
            return accounts.find(connection, appid)

    def get_appids(self) -> list[str]:
        """Return the AppIDs of all accounts, sorted."""
        with reading(self._engine) as connection:
            return accounts.get_appids(connection)

    def get_runs(self, account_id: int, limit: int) -> list[Run]:
        """Return the newest runs first."""
        with reading(self._engine) as connection:
            return runs.get_latest(connection, account_id, limit=limit)

    def count_at(self, account_id: int, at: datetime) -> FollowerCount:
        """Return how many followed at that moment, at least and at most."""
        with reading(self._engine) as connection:
            return report.count_at(connection, account_id, at)

    def get_status(self, account: Account) -> AccountStatus:
        """Return what is in the database about the account, as of one moment."""
        with reading(self._engine) as connection:
            return report.get_status(connection, self._clock, account)

    def get_candidates(self, account_id: int, *, after: str, limit: int) -> list[Candidate]:
        """Return the next candidates behind `after`, in byte order, without the undecided."""
        with reading(self._engine) as connection:
            return unfollows.get_candidates(connection, account_id, after, limit)

    def count_candidates(self, account_id: int) -> int:
        """Return how many candidates wait, parked or to be asked about."""
        with reading(self._engine) as connection:
            return unfollows.count_candidates(connection, account_id)
