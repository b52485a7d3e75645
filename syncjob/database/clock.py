"""The clock of the stored instants.

The server's if it has one, so that hosts whose clocks disagree agree on heartbeats and tokens; else
the machine's. Tests may replace it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, literal

from syncjob.database.column_types import UTCDateTime
from syncjob.database.dialects.base import Dialect

Clock = Callable[[], datetime]


def machine_clock() -> datetime:
    """Return the machine's time, aware UTC."""
    return datetime.now(UTC)


class DatabaseClock:
    """The current time as an SQL expression."""

    def __init__(self, dialect: Dialect, clock: Clock | None = None) -> None:
        self._dialect = dialect
        self._clock = clock or (None if dialect.has_clock else machine_clock)

    def parameter(self) -> tuple[ColumnElement[datetime], dict[str, datetime]]:
        """Return now for a statement that is cached, and the parameters to execute it with."""
        if self._clock is None:
            return self.now(), {}
        return bindparam("now", type_=UTCDateTime), {"now": self._clock()}

    def now(self, offset: timedelta = timedelta()) -> ColumnElement[datetime]:
        """Return now, moved by `offset`."""
        if self._clock is not None:
            return literal(self._clock() + offset, UTCDateTime)
        return self._dialect.server_now(offset)
