"""A real PgBouncer between the tests and their PostgreSQL."""

import os
import pwd
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psycopg
import pytest
from sqlalchemy import URL, make_url

MISSING = (
    "PgBouncer is not here, so the tests behind a pooler were left out; "
    "as root: apt-get install pgbouncer"
)


def find_pgbouncer() -> str | None:
    """Return the path of PgBouncer's program, which Debian keeps where only root looks."""
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    return shutil.which("pgbouncer", path=places)


def require_pgbouncer() -> str:
    """Return its path, or skip the test; in CI nothing may be left out."""
    found = find_pgbouncer()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return found


class Pooler:
    """A PgBouncer on a free port of this machine, before all databases of a server.

    Every client is accepted, as the user of the server's URL.
    """

    def __init__(self, server: str, mode: str = "transaction", **settings: int | str) -> None:
        self._program = require_pgbouncer()
        self._server = make_url(server)
        self._folder = Path(tempfile.mkdtemp(prefix="syncjob-pgbouncer-"))
        self._owner = _owner(str(self._server.query.get("host", "")))
        os.chown(self._folder, self._owner.pw_uid, self._owner.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "default_pool_size": 4,
            "max_client_conn": 200,
            "server_idle_timeout": 2,  # each test has a database of its own
            "server_login_retry": 1,
            "logfile": self._folder / "log",
            **settings,
        }
        self._file = self._folder / "pgbouncer.ini"
        lines = [f"{name} = {value}" for name, value in options.items()]
        self._file.write_text("\n".join(["[databases]", self._place(), "[pgbouncer]", *lines, ""]))
        self._file.chmod(0o644)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> "Pooler":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def url(self, database_url: str, **query: str) -> str:
        """Return the URL by which a database of the server is reached through the pooler."""
        database = make_url(database_url).database
        url = URL.create(
            "postgresql", "postgres", "any", "127.0.0.1", self.port, database, query=query
        )
        return url.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        as_owner: dict[str, int | list[int]] = {}
        if os.geteuid() == 0:  # PgBouncer refuses to run as root
            as_owner = {
                "user": self._owner.pw_uid,
                "group": self._owner.pw_gid,
                "extra_groups": [],
            }
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            [self._program, "-q", self._file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_owner,
        )
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process is not None and self._process.poll() is None, self.log()
                assert time.monotonic() < until, self.log()
                select.select([], [], [], 0.01)  # tests replace time.sleep()
            else:
                return

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """Return what it has written."""
        file = self._folder / "log"
        return file.read_text() if file.exists() else "PgBouncer has written nothing"

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self) -> str:
        server = self._server
        parts = {
            "host": server.query.get("host") or server.host or "127.0.0.1",
            "port": server.port or server.query.get("port") or 5432,
            "user": server.username or "postgres",
            "password": server.password,
        }
        return "* = " + " ".join(f"{name}={value}" for name, value in parts.items() if value)


def _owner(folder: str) -> pwd.struct_passwd:
    """Return the user that PgBouncer runs as: ours, or for root the socket's owner."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    uid = Path(folder).stat().st_uid if folder.startswith("/") else 0
    return pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")


def connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect as another program would that knows of the pooler: nothing prepared."""
    return psycopg.connect(url, autocommit=True, prepare_threshold=None)
