"""SQLite for the benchmark: a file for each run, in a folder that goes away."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from benchmarks.databases import NUMBERS, SCRIPTS, TEXTS, Stored


class SQLite:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["SQLite"]:
        """Yield a folder for the files, and remove it."""
        with TemporaryDirectory(prefix="syncjob-bench-") as folder:
            yield cls(Path(folder))

    def fresh(self) -> str:
        """Return the URL of a file that does not exist yet."""
        return f"sqlite:///{self._folder / uuid4().hex}.db"

    def drop(self, url: str) -> None:
        """Remove the file and what SQLite keeps beside it."""
        for file in self._folder.glob(f"{_path(url).name}*"):
            file.unlink()

    def create_table(self, url: str) -> None:
        """Make the followers table."""
        with sqlite3.connect(_path(url)) as connection:
            connection.executescript((SCRIPTS / "followers.sqlite.sql").read_text())

    def settle(self, url: str) -> None:
        """Do nothing: there is no server."""

    def cpu(self) -> None:
        """Return None: the work is done, and counted, in the client."""

    def stored(self, url: str, table: str) -> Stored:
        """Return what the table holds."""
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
