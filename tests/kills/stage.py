"""The stage of the kills: a made-up WeChat, and databases that are copied, read and dropped."""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from syncjob.cli.main import run
from syncjob.database.engine import open_engine, writing
from syncjob.simulator import Account, Simulator
from tests.conftest import Databases
from tests.histories.truth import Tables, read_tables

CHECKOUT = Path(__file__).resolve().parents[2]
MOMENTS = Path(__file__).parent / "moments"
SYNCJOB = Path(sys.executable).parent / "syncjob"  # as it is installed
FOLLOWERS, PAGE, BATCH = 35, 10, 5
TIMEOUT = 60.0  # seconds, for a command that hangs


class Stage:
    """A made-up WeChat, and databases on which commands are run against it."""

    def __init__(self, databases: Databases, server: str | None, concurrency: int) -> None:
        self.databases = databases
        self.concurrency = concurrency
        self.account = Account(FOLLOWERS, seed=7, profiles="full")
        self.simulator = Simulator(self.account, page_size=PAGE)
        self._server = server

    @contextmanager
    def serving(self, **settings: str) -> Iterator[None]:
        """Serve, and have every command meet this WeChat."""
        with self.simulator.serving() as url:
            self._settings = {
                "SYNCJOB_API_URL": url,
                "SYNCJOB_APPID": self.simulator.appid,
                "SYNCJOB_APPSECRET": self.simulator.secret,
                "SYNCJOB_BATCH_SIZE": str(BATCH),
                "SYNCJOB_CONCURRENCY": str(self.concurrency),
                **settings,
            }
            yield

    def run(self, url: str, *arguments: str) -> tuple[int, str]:
        """Run a command in this process; return its exit code and what it printed."""
        printed = io.StringIO()
        with (
            patch.dict(os.environ, self._environment(url), clear=True),
            redirect_stdout(printed),
            redirect_stderr(printed),
        ):
            code = run(list(arguments))
        return code, printed.getvalue()

    def must(self, url: str, *arguments: str) -> None:
        """Run a command that must come to its end."""
        code, printed = self.run(url, *arguments)
        assert code == 0, f"{' '.join(arguments)} ended with {code}: {printed.strip()}"

    def start(self, url: str, *arguments: str, **around: str) -> "subprocess.Popen[str]":
        """Start a command as a process of its own."""
        path = os.pathsep.join((str(MOMENTS), str(CHECKOUT)))
        return subprocess.Popen(
            [SYNCJOB, *arguments],
            env={**self._environment(url), "PYTHONPATH": path, **around},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read(self, url: str) -> Tables:
        """Read what is stored; with PostgreSQL once the sessions of who died have ended."""
        engine = open_engine(url)
        try:
            if engine.dialect.name == "postgresql":
                others = text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
                # Within a transaction it would show the same sessions for ever.
                watching = engine.execution_options(isolation_level="AUTOCOMMIT")
                with watching.connect() as connection:
                    wait_until(lambda: connection.scalar(others) == 0)
            return read_tables(engine, self.simulator.appid, time.time())
        finally:
            engine.dispose()

    def copy(self, url: str) -> str:
        """Return the URL of a copy of a database that nobody uses."""
        database = make_url(url).database or ""
        if self.databases.kind == "postgresql":
            made: list[str] = []

            def copied() -> bool:
                try:
                    made.append(self.databases.make_empty(template=database))
                except OperationalError:  # the session of one who was killed has not ended yet
                    return False
                return True

            wait_until(copied)
            return made[0]
        copied_to = self.databases.make_empty()
        for end in ("", "-wal"):
            if Path(database + end).exists():
                shutil.copy(database + end, (make_url(copied_to).database or "") + end)
        return copied_to

    def drop(self, url: str) -> None:
        """Delete a database."""
        database = make_url(url).database or ""
        if self.databases.kind == "postgresql":
            server = make_url(self._server or "").set(drivername="postgresql+psycopg")
            engine = create_engine(server, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))
            engine.dispose()
        else:
            for end in ("", "-wal", "-shm"):
                Path(database + end).unlink(missing_ok=True)

    def _environment(self, url: str) -> dict[str, str]:
        around = {name: v for name, v in os.environ.items() if not name.startswith("SYNCJOB_")}
        around |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return {**around, **self._settings, "SYNCJOB_DATABASE_URL": url}


def wait_until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what comes soon; raise AssertionError if it does not."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.01)


@contextmanager
def changing(url: str) -> Iterator[Any]:
    """Change rows as somebody else would."""
    engine = open_engine(url)
    with writing(engine) as connection:
        yield connection
    engine.dispose()
