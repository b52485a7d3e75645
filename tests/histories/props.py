"""What histories are played with: a clock, a database, and a way to meddle with every call."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete

from syncjob.database.engine import open_engine
from syncjob.database.store import Store, open_store
from syncjob.database.tables import metadata
from syncjob.model.replies import AccessToken, TokenClaim

START = 1_760_000_000  # in October 2025


class Ticker:
    """The clock that everything lives by."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        """Return the unix time."""
        return self.now

    def utc(self) -> datetime:
        """Return the time as the database keeps it."""
        return datetime.fromtimestamp(self.now, UTC)


class Database:
    """A database that histories use one after the other, and the figures of all of them."""

    def __init__(self, url: str) -> None:
        self.clock = Ticker()
        self.figures: Counter[str] = Counter()
        self.engine = open_engine(url)
        self.store = open_store(url, clock=self.clock.utc)
        self.another_store = open_store(url, clock=self.clock.utc)

    def empty(self) -> None:
        """Delete all rows, and set the clock back."""
        self.clock.now = float(START)
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))

    def close(self) -> None:
        """Close all connections."""
        self.store.close()
        self.another_store.close()
        self.engine.dispose()


@dataclass(frozen=True)
class Shelf:
    """Where the client finds the account's token."""

    store: Store
    account_id: int
    holder: str
    is_dead: Callable[[str], bool]

    def get(self) -> str | None:
        """Return the stored token."""
        return self.store.tokens.get(self.account_id)

    def claim(self, rejected: str | None) -> TokenClaim:
        """Claim another one."""
        return self.store.tokens.claim(
            self.account_id, rejected=rejected, holder=self.holder, is_dead=self.is_dead
        )

    def save(self, token: AccessToken, generation: int) -> str:
        """Store the token."""
        return self.store.tokens.save(self.account_id, token, generation)

    def give_up(self, generation: int) -> None:
        """Give the claim up."""
        self.store.tokens.give_up(self.account_id, generation)

    def forget(self, token: str) -> None:
        """Have the next run fetch another one."""
        self.store.tokens.forget(self.account_id, token)


class Meddled:
    """Passes every call on to the real thing; `moment` is called before and after each.

    `noted` gets the arguments and the result, unless the call failed. Subjects of a
    store are passed on likewise: their methods are called `runs.start` and so on.
    """

    def __init__(
        self, real: Any, moment: Callable[[str, str], None], noted: Any, prefix: str = ""
    ) -> None:
        self._real = real
        self._moment = moment
        self._noted = noted
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        """Return the real attribute, wrapped if it is a subject or can be called."""
        attribute = getattr(self._real, name)
        if isinstance(self._real, Store) and name in vars(self._real):
            return Meddled(attribute, self._moment, self._noted, f"{name}.")
        if not callable(attribute):
            return attribute
        name = self._prefix + name

        def call(*arguments: Any, **options: Any) -> Any:
            self._moment("before", name)
            result = attribute(*arguments, **options)
            self._noted(name, arguments, result)
            self._moment("after", name)
            return result

        return call
