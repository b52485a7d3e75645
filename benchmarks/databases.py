"""New databases for the contenders, and a summary of what they stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

# The columns that all contenders store, compared as text. Empty texts count as null, since dlt
# loads CSV, which does not distinguish them.
TEXTS = (
    "unionid",
    "nickname",
    "country",
    "province",
    "city",
    "headimgurl",
    "remark",
    "subscribe_scene",
    "qr_scene_str",
)
NUMBERS = ("sex", "groupid", "qr_scene")
SCRIPTS = Path(__file__).parent / "contenders"


class Stored(NamedTuple):
    """The number of rows, the number of rows with a unionid, and a checksum over their values."""

    followers: int
    unionids: int
    checksum: int


class Database(Protocol):
    """The interface of a database for the benchmarks."""

    def fresh(self) -> str:
        """Return the URL of a new, empty database."""

    def drop(self, url: str) -> None:
        """Remove the database."""

    def create_table(self, url: str) -> None:
        """Create the followers table, for contenders that do not create one."""

    def settle(self, url: str) -> None:
        """Wait until no session is open in the database."""

    def cpu(self) -> float | None:
        """Return the CPU seconds that the server has used so far, None if unknown."""

    def stored(self, url: str, table: str) -> Stored:
        """Return a summary of the table."""

    def about(self) -> dict[str, str]:
        """Return the version and the relevant settings."""


@contextmanager
def opened(kind: str) -> Iterator[Database]:
    """Yield a database of this kind; stop a server that was started for it at the end."""
    if kind == "sqlite":
        from benchmarks.sqlite import SQLite

        with SQLite.opened() as sqlite:
            yield sqlite
    else:
        from benchmarks.postgresql import PostgreSQL

        with PostgreSQL.opened() as postgresql:
            yield postgresql
