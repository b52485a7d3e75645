"""Fresh databases for the contenders, and what is in them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

# What all contenders store, however they type it, as text that is the same for all. Empty texts
# count as null, since CSV, by which dlt loads, does not tell them apart.
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
    """What a database holds: rows, those with a unionid, and a checksum over their values."""

    followers: int
    unionids: int
    checksum: int


class Database(Protocol):
    """One kind of database, as the benchmark uses it."""

    def fresh(self) -> str:
        """Return the URL of a new, empty database."""

    def drop(self, url: str) -> None:
        """Remove the database."""

    def create_table(self, url: str) -> None:
        """Make the followers table of the contenders that make none themselves."""

    def settle(self, url: str) -> None:
        """Wait until nobody is at work in the database."""

    def cpu(self) -> float | None:
        """Return the CPU seconds that the server has used so far, None if that is not known."""

    def stored(self, url: str, table: str) -> Stored:
        """Return what the table holds."""

    def about(self) -> dict[str, str]:
        """Return the version, and the settings that matter."""


@contextmanager
def opened(kind: str) -> Iterator[Database]:
    """Yield the database of this kind; a server of our own ends with the block."""
    if kind == "sqlite":
        from benchmarks.sqlite import SQLite

        with SQLite.opened() as sqlite:
            yield sqlite
    else:
        from benchmarks.postgresql import PostgreSQL

        with PostgreSQL.opened() as postgresql:
            yield postgresql
