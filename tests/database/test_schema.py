"""The schema: migrations create exactly the tables of tables.py, from anywhere, once."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BindParameter, bindparam, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError

from syncjob.database.column_types import UTCDateTime
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.ownership import VERSION_TABLE
from syncjob.database.schema import CURRENT_REVISION, migrations_folder, upgrade
from syncjob.database.tables import metadata
from tests.conftest import Databases, World

Query = Callable[..., list[Any]]
NEWEST = CURRENT_REVISION
CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_migrations_create_the_tables_of_the_code(database_url: str) -> None:
    """The migrated schema and tables.py have no differences."""
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "version_table": VERSION_TABLE,
            },
        )
        differences = [
            difference
            for difference in compare_metadata(context, metadata)
            if not (engine.dialect.name == "sqlite" and is_of_sqlite(difference))
        ]
    engine.dispose()
    assert differences == []


def is_of_sqlite(difference: Any) -> bool:
    """Tell whether SQLite makes this difference necessary.

    It has no IDENTITY: a key of type INTEGER counts by itself. And it would have to copy the whole
    table to lose the foreign key of followers.
    """
    if isinstance(difference, list):
        return bool(difference[0][0] == "modify_default")
    kind, item = difference[:2]
    return kind == "remove_fk" and item.parent.name == "followers"


def test_the_current_revision_is_the_newest_migration() -> None:
    """The code requires the revision of the last migration."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    assert ScriptDirectory.from_config(config).get_current_head() == CURRENT_REVISION


def test_migrate_says_what_it_did_and_is_safe_to_repeat(
    serve: Callable[..., World], databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first migrate creates the tables, the second finds nothing to do."""
    wechat = serve()
    url = databases.make_empty()
    wechat.set(SYNCJOB_DATABASE_URL=url)

    assert wechat.run("migrate") == 0
    output = capsys.readouterr().out.splitlines()
    assert output == [
        f"Created the tables, at revision {CURRENT_REVISION}.",
        f"Database: {place(url)}",
    ]
    assert wechat.run("migrate") == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0].endswith("already; nothing to do.")
    assert output[1:] == [f"Database: {place(url)}"]
    assert wechat.run("migrate", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert wechat.run("sync") == 0


def place(url: str) -> str:
    """Describe the database of a test's URL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return f"SQLite, {parsed.database}"
    host = parsed.host or parsed.query.get("host")
    return f"PostgreSQL, {parsed.database} on {host}:{parsed.port or 5432}"


def test_migrate_names_the_database_and_never_its_password(
    serve: Callable[..., World], postgresql_databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a URL with a password, and of a schema of its own: place, name, schema."""
    wechat = serve()
    url = postgresql_databases.make_empty()
    parsed = (
        make_url(url).set(password="hunter2").update_query_dict({"options": "-csearch_path=own"})
    )
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA own")
    engine.dispose()
    wechat.set(SYNCJOB_DATABASE_URL=parsed.render_as_string(hide_password=False))
    assert wechat.run("migrate") == 0
    output = capsys.readouterr().out
    assert output.splitlines()[1] == f"Database: {place(url)}, schema own"
    assert "hunter2" not in output


def test_without_a_setting_migrate_names_the_file_that_it_created(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """syncjob.db in the current folder, by its whole path, and that this is the default."""
    wechat = serve()
    assert wechat.run("migrate") == 0
    first, place, default = capsys.readouterr().out.splitlines()
    assert first == f"Created the tables, at revision {CURRENT_REVISION}."
    assert place == f"Database: SQLite, {Path.cwd() / 'syncjob.db'}"
    assert default.startswith("This is the default: SYNCJOB_DATABASE_URL is not set; no settings")


def test_two_migrations_at_once_wait_for_each_other(databases: Databases) -> None:
    """Hosts that are deployed together may all migrate: one does, the others find it done."""
    url = databases.make_empty()
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(upgrade, [url] * 4))
    assert sorted(done, key=str) == sorted([(NEWEST, NEWEST)] * 3 + [(None, NEWEST)], key=str)


def test_a_password_with_special_characters_migrates(postgresql_databases: Databases) -> None:
    """A URL with %-escapes works with Alembic."""
    url = postgresql_databases.make_empty()
    separator = "&" if "?" in url else "?"
    upgrade(f"{url}{separator}application_name=100%25%20sync%3A%2F%40")


def test_a_postgres_url_is_understood(postgresql_databases: Databases) -> None:
    """`postgres://`, as hosting companies print it, is a PostgreSQL URL."""
    url = postgresql_databases.make_empty()
    assert upgrade(url.replace("postgresql://", "postgres://"))[1] == CURRENT_REVISION


WRONG = {
    "a second running run": "INSERT INTO runs (account_id, command, status) "
    "SELECT id, 'sync', 'running' FROM accounts",
    "a second open sweep": "INSERT INTO sweeps (account_id, status) "
    "SELECT id, 'open' FROM accounts",
    "a running run that is finished": "UPDATE runs SET finished_at = started_at",
    "a succeeded run that is not": "UPDATE runs SET status = 'succeeded'",
    "a status of no meaning": "UPDATE runs SET status = 'fine', finished_at = started_at",
    "an open sweep that is finished": "UPDATE sweeps SET finished_at = started_at",
    "an account twice": "INSERT INTO accounts (appid) SELECT appid FROM accounts",
    "a follower twice": "INSERT INTO followers (account_id, openid) "
    "SELECT account_id, openid FROM followers",
    "a follower who is gone, and no end": "UPDATE followers SET subscribe = false",
}


@pytest.mark.parametrize("statement", WRONG.values(), ids=WRONG.keys())
def test_the_database_refuses_rows_that_break_invariants(query: Query, statement: str) -> None:
    """Constraints hold the invariants, whoever writes."""
    query("INSERT INTO accounts (appid) VALUES ('wx1')")
    query(
        "INSERT INTO runs (account_id, command, status) SELECT id, 'sync', 'running' FROM accounts"
    )
    query("INSERT INTO sweeps (account_id, status) SELECT id, 'open' FROM accounts")
    query("INSERT INTO followers (account_id, openid) SELECT id, 'oA' FROM accounts")
    with pytest.raises(IntegrityError):
        query(statement)


def test_rows_that_the_check_would_refuse_are_repaired(databases: Databases) -> None:
    """A gone follower without an end gets one, not before their beginning; all others stay.

    A late answer could make such rows, until revision 0008.
    """
    url = databases.make_empty()
    engine = open_engine(url, create=True, timeouts=False)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))

    def day(name: str, number: int | None) -> BindParameter[Any]:
        at = None if number is None else datetime(2026, 1, number, tzinfo=UTC)
        return bindparam(name, at, type_=UTCDateTime)

    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
        connection.execute(text("INSERT INTO accounts (appid) VALUES ('wx1')"))
        for openid, subscribe, gone_at, since, until in (
            ("oThere", True, None, 1, None),
            ("oListedAgain", True, None, 1, 2),
            ("oGone", False, 3, 1, 3),
            ("oNoEnd", False, 3, 1, None),
            ("oCameLater", False, 3, 4, None),
            ("oNothing", False, None, None, None),
        ):
            connection.execute(
                text(
                    "INSERT INTO followers (account_id, openid, subscribe, unsubscribed_at, "
                    "followed_before, unfollowed_before, first_seen_at) "
                    "SELECT id, :openid, :subscribe, :gone_at, :since, :until, :seen FROM accounts"
                ).bindparams(
                    day("gone_at", gone_at),
                    day("since", since),
                    day("until", until),
                    day("seen", 1),
                    openid=openid,
                    subscribe=subscribe,
                )
            )
    upgrade(url)
    days = text(
        "SELECT openid, CAST(substr(CAST(unfollowed_before AS text), 10, 1) AS integer), "
        "unsubscribe_reason FROM follow_periods"
    )
    with reading(engine) as connection:
        found = {row[0]: tuple(row[1:]) for row in connection.execute(days)}
    engine.dispose()
    assert found == {
        "oThere": (None, None),
        "oListedAgain": (2, "answered"),
        "oGone": (3, "answered"),
        "oNoEnd": (3, "answered"),
        "oCameLater": (4, "answered"),
        "oNothing": (1, "answered"),
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = "from hatchling.build import build_{0}; print(build_{0}({1!r}))"
    sdist = _python(build.format("sdist", str(folder)), CHECKOUT)
    with tarfile.open(folder / sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.removesuffix(".tar.gz")
    return folder / _python(build.format("wheel", str(folder)), source)


def _python(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_a_wheel_migrates_and_syncs_from_the_root_folder(
    serve: Callable[..., World], wheel: Path, databases: Databases, tmp_path: Path
) -> None:
    """Installed from its wheel, away from any checkout, the command works from `/`."""
    environment = tmp_path / "env"
    venv.create(environment, with_pip=False)
    (packages,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # The dependencies come from this environment, syncjob itself does not: its editable install
    # works through a .pth file, which is read only in a site folder.
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "lent.pth").write_text(
        "\n".join(f"import sys; sys.path.append({path!r})" for path in lent)
    )
    wechat = serve(250, page_size=100)
    wechat.set(SYNCJOB_DATABASE_URL=databases.make_empty())

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [environment / "bin/python", "-m", "syncjob", *arguments],
            cwd="/",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert (
        str(packages)
        in subprocess.run(
            [environment / "bin/python", "-c", "import syncjob; print(syncjob.__file__)"],
            cwd="/",
            capture_output=True,
            text=True,
        ).stdout
    )
    assert run("init", str(tmp_path / "syncjob.toml")).startswith("Wrote")
    assert run("migrate").startswith("Created the tables")
    assert run("sync") == ""
    assert "250 subscribed" in run("status")
