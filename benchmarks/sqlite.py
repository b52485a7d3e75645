"""SQLite for the benchmarks: a file for each run, in a temporary folder."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from benchmarks.databases import NUMBERS, SCRIPTS, TEXTS, Stored


class SQLite:
    """A folder of SQLite files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["SQLite"]:
        """Create the temporary folder; remove it at the end of the block."""
        with TemporaryDirectory(prefix="syncjob-bench-") as folder:
            yield cls(Path(folder))

    def fresh(self) -> str:
        """Return the URL of a file that does not exist yet."""
        return f"sqlite:///{self._folder / uuid4().hex}.db"

    def drop(self, url: str) -> None:
        """Remove the file and SQLite's files beside it."""
        for file in self._folder.glob(f"{_path(url).name}*"):
            file.unlink()

    def create_table(self, url: str) -> None:
        """Create the followers table."""
        with sqlite3.connect(_path(url)) as connection:
            connection.executescript((SCRIPTS / "followers.sqlite.sql").read_text())

    def settle(self, url: str) -> None:
        """Do nothing: there is no server."""

    def cpu(self) -> None:
        """Return None: the client's CPU includes SQLite's."""

    def stored(self, url: str, table: str) -> Stored:
        """Return a summary of the table."""
        columns = [f"coalesce({name}, '')" for name in (*TEXTS, *NUMBERS)]
        columns += ["openid", "strftime('%s', subscribe_time)"]
        with sqlite3.connect(_path(url)) as connection:
            connection.create_function("crc32", 1, lambda text: zlib.crc32(text.encode()))
            digest = f"coalesce(sum(crc32({' || '.join(columns)})), 0)"
            select = f"SELECT count(*), count(unionid), {digest} FROM {table}"
            return Stored(*connection.execute(select).fetchone())

    def about(self) -> dict[str, str]:
        """Return the version."""
        return {"SQLite": sqlite3.sqlite_version}


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))
