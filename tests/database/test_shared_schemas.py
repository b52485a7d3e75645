"""A schema that another program uses too: its tables are left alone, and not taken for ours."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text

from syncjob.database.engine import open_engine, writing
from syncjob.database.schema import CURRENT_REVISION, migrations_folder
from tests.conftest import Databases, World

CHECKOUT = Path(__file__).resolve().parents[2]
Serve = Callable[..., World]
Query = Callable[..., list[Any]]
OWN_SCHEMA = "give syncjob a schema of its own"
# The version table until revision 0007, and of databases that were not migrated since.
OF_ALEMBIC = "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)"
FORMER = "0007"  # the last revision that used it
TO_FORMER = (
    "DROP TABLE syncjob_version",
    OF_ALEMBIC,
    f"INSERT INTO alembic_version VALUES ('{FORMER}')",
)


def downgrade(url: str) -> None:
    """Downgrade the tables to the revision FORMER."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    engine = open_engine(url)
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        alembic.downgrade(config, FORMER)
    engine.dispose()


class Shared:
    """A database that syncjob shares, and the command line that works on it."""

    def __init__(self, url: str, wechat: World) -> None:
        self.url = url
        self.wechat = wechat
        parsed = make_url(url)
        self.is_postgresql = parsed.get_backend_name() == "postgresql"
        if self.is_postgresql:
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = create_engine(parsed)
        wechat.set(SYNCJOB_DATABASE_URL=url)

    def query(self, *statements: str) -> list[Any]:
        """Run them as another program would; return the rows of the last."""
        rows: list[Any] = []
        with self._engine.begin() as connection:
            for statement in statements:
                result = connection.execute(text(statement))
                rows = [tuple(row) for row in result] if result.returns_rows else []
        self._engine.dispose()
        return rows

    def everything(self) -> list[Any]:
        """All names in the database, and the revision in Alembic's default table."""
        if self.is_postgresql:
            return self.query(
                "SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname NOT LIKE 'pg_%' AND n.nspname <> 'information_schema' "
                "ORDER BY 1, 2"
            )
        return self.query("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")

    def names(self) -> set[str]:
        """The names among them."""
        return {row[1] for row in self.everything()}

    def to_former(self) -> None:
        """Restore the state of the last syncjob without a version table of its own."""
        downgrade(self.url)
        self.query(*TO_FORMER)


@pytest.fixture
def shared(serve: Serve, databases: Databases) -> Shared:
    """An empty database of each kind."""
    url = databases.make_empty()
    if databases.kind == "sqlite":
        sqlite3.connect(url.removeprefix("sqlite:///")).close()
    return Shared(url, serve(5))


@pytest.mark.parametrize("revision", ["0001", CURRENT_REVISION, "0042", "ae1027a6acf"])
def test_another_programs_revision_is_not_ours(
    shared: Shared, revision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its number, our tables are created beside it, and it is not changed."""
    shared.query(
        OF_ALEMBIC,
        f"INSERT INTO alembic_version VALUES ('{revision}')",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY)",
    )
    assert shared.wechat.run("status") == 4
    assert "no syncjob tables yet (run: syncjob migrate)" in capsys.readouterr().err
    assert shared.wechat.run("migrate") == 0
    assert "Created the tables" in capsys.readouterr().out
    assert shared.wechat.run("sync") == 0
    assert shared.query("SELECT version_num FROM alembic_version") == [(revision,)]
    assert shared.query("SELECT version_num FROM syncjob_version") == [(CURRENT_REVISION,)]
    assert shared.query("SELECT count(*) FROM followers") == [(5,)]


def test_our_revision_moves_to_a_table_of_our_own(
    shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database of an earlier syncjob is recognized; migrate moves the row and the table."""
    assert shared.wechat.run("migrate") == 0
    shared.to_former()
    assert shared.wechat.run("sync") == 4
    assert "run: syncjob migrate" in capsys.readouterr().err
    assert "syncjob_version" not in shared.names()
    assert shared.wechat.run("migrate") == 0
    assert shared.query("SELECT version_num FROM syncjob_version") == [(CURRENT_REVISION,)]
    assert "alembic_version" not in shared.names()
    assert shared.wechat.run("migrate") == 0
    assert shared.wechat.run("sync") == 0
    assert shared.query("SELECT count(*) FROM followers") == [(5,)]


def test_a_row_of_ours_among_others_moves_alone(shared: Shared) -> None:
    """Two programs that share Alembic's default table: the other one's row stays in it."""
    assert shared.wechat.run("migrate") == 0
    shared.to_former()
    shared.query("INSERT INTO alembic_version VALUES ('ae1027a6acf')")
    assert shared.wechat.run("migrate") == 0
    assert shared.query("SELECT version_num FROM syncjob_version") == [(CURRENT_REVISION,)]
    assert shared.query("SELECT version_num FROM alembic_version") == [("ae1027a6acf",)]


def test_a_failed_move_changes_nothing(shared: Shared) -> None:
    """The row moves in the transaction of the migration: here a missing table rolls it back."""
    assert shared.wechat.run("migrate") == 0
    shared.to_former()
    shared.query("DROP TABLE quotas")
    before = shared.everything()
    assert shared.wechat.run("migrate") == 4
    assert shared.everything() == before


def test_alembic_by_hand_uses_the_same_table(shared: Shared) -> None:
    """With the alembic.ini of a checkout: it moves our row, and not another program's."""
    shared.query(OF_ALEMBIC, "INSERT INTO alembic_version VALUES ('0003')")
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(CHECKOUT / "alembic.ini"), "upgrade", "head"],
        cwd=CHECKOUT,
        env={**os.environ, "SYNCJOB_DATABASE_URL": shared.url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert shared.query("SELECT version_num FROM syncjob_version") == [(CURRENT_REVISION,)]
    assert shared.query("SELECT version_num FROM alembic_version") == [("0003",)]
    assert shared.wechat.run("migrate") == 0
    assert shared.wechat.run("sync") == 0


FOREIGN = {
    "one table": ["CREATE TABLE followers (id INTEGER PRIMARY KEY, name TEXT)"],
    "a name that many have": ["CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT)"],
    "a view": ["CREATE VIEW runs AS SELECT 1 AS id"],
    "a view of ours as a table": ["CREATE TABLE follow_periods (id INTEGER PRIMARY KEY)"],
    "with Alembic and a number of ours": [
        OF_ALEMBIC,
        "INSERT INTO alembic_version VALUES ('0007')",
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, appid TEXT)",
        "CREATE TABLE followers (account_id INTEGER, openid TEXT)",
    ],
    "all that we look at, without our columns": [
        OF_ALEMBIC,
        "INSERT INTO alembic_version VALUES ('0007')",
        *(
            f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)"
            for name in ("accounts", "followers", "sweep_openids", "runs")
        ),
    ],
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN.keys())
def test_tables_of_our_names_are_another_programs(
    shared: Shared, statements: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4 with the cure from every command, and nothing is changed."""
    shared.query(*statements)
    before = shared.everything()
    path = Path(make_url(shared.url).database or "")
    content = b"" if shared.is_postgresql else path.read_bytes()
    for command in ("migrate", "sync", "status", "runs"):
        assert shared.wechat.run(command) == 4
        assert OWN_SCHEMA in capsys.readouterr().err
    assert shared.wechat.run("doctor", "--offline") == 1
    assert OWN_SCHEMA in capsys.readouterr().out
    assert shared.everything() == before
    if not shared.is_postgresql:
        assert path.read_bytes() == content
        assert not path.with_name(f"{path.name}-wal").exists()


def test_a_name_that_a_later_migration_needs_is_named(
    shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index may not have a table's name either: the database's error, with our cure."""
    shared.query("CREATE TABLE orders (id INTEGER)", "CREATE INDEX one_open_sweep ON orders (id)")
    before = shared.everything()
    assert shared.wechat.run("migrate") == 4
    assert OWN_SCHEMA in capsys.readouterr().err
    assert shared.everything() == before


def test_a_removed_table_is_named(shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    """By every command, before any call to WeChat."""
    assert shared.wechat.run("migrate") == 0
    shared.query("DROP TABLE quarantine")
    for command in ("migrate", "sync", "status"):
        assert shared.wechat.run(command) == 4
        assert "lacks quarantine, which its revision has" in capsys.readouterr().err
    assert shared.wechat.run("doctor", "--offline") == 1
    assert "lacks quarantine" in capsys.readouterr().out
    assert shared.wechat.simulator.counts == {}


def test_a_removed_column_is_named(shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    """By migrate and the doctor; a run that needs it ends with an error."""
    assert shared.wechat.run("migrate") == 0
    shared.query("ALTER TABLE runs DROP COLUMN rid")
    assert shared.wechat.run("migrate") == 4
    assert "lacks runs.rid, which its revision has" in capsys.readouterr().err
    assert shared.wechat.run("doctor", "--offline") == 1
    assert "lacks runs.rid" in capsys.readouterr().out
    assert shared.wechat.run("sync") == 4
    assert "tables or columns of syncjob are missing" in capsys.readouterr().err


def test_a_version_table_without_a_revision_is_named(
    shared: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not taken for an empty database."""
    assert shared.wechat.run("migrate") == 0
    shared.query("DELETE FROM syncjob_version")
    for command in ("migrate", "sync"):
        assert shared.wechat.run(command) == 4
        assert "the table syncjob_version names no revision" in capsys.readouterr().err


# --- several schemas of PostgreSQL ---------------------------------------------------------------


@pytest.fixture
def crowded(serve: Serve, postgresql_databases: Databases) -> Shared:
    """A database in whose schema `public` another program has an `accounts`, and uses Alembic."""
    made = Shared(postgresql_databases.make_empty(), serve(5))
    made.query(
        OF_ALEMBIC,
        "INSERT INTO alembic_version VALUES ('0007')",
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT)",
    )
    return made


def on_path(url: str, path: str) -> str:
    """The URL with a search_path."""
    return (
        make_url(url)
        .update_query_dict({"options": f"-csearch_path={path}"})
        .render_as_string(hide_password=False)
    )


@pytest.mark.parametrize("path", ["wechat", "wechat,public"])
def test_a_schema_of_its_own_is_the_cure(crowded: Shared, path: str) -> None:
    """And with the other program's schema behind it on the path."""
    crowded.query("CREATE SCHEMA wechat")
    crowded.wechat.set(SYNCJOB_DATABASE_URL=on_path(crowded.url, path))
    assert crowded.wechat.run("migrate") == 0
    assert crowded.wechat.run("sync") == 0
    assert crowded.wechat.run("doctor", "--offline") == 0
    assert crowded.query("SELECT count(*) FROM wechat.followers") == [(5,)]
    assert crowded.query("SELECT version_num FROM public.alembic_version") == [("0007",)]
    assert crowded.query("SELECT count(*) FROM public.accounts") == [(0,)]


def test_a_schema_that_hides_ours_is_named(
    crowded: Shared, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other program's table stands before ours on the path: nothing is read or written."""
    crowded.query("CREATE SCHEMA wechat")
    crowded.wechat.set(SYNCJOB_DATABASE_URL=on_path(crowded.url, "wechat"))
    assert crowded.wechat.run("migrate") == 0
    crowded.wechat.set(SYNCJOB_DATABASE_URL=on_path(crowded.url, "public,wechat"))
    for command in ("sync", "status", "migrate"):
        assert crowded.wechat.run(command) == 4
        assert "the table accounts of public hides the one of wechat" in capsys.readouterr().err
    assert crowded.wechat.run("doctor", "--offline") == 1
    assert "correct search_path" in capsys.readouterr().out


def test_a_missing_schema_is_named(crowded: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    """With the statement that creates it."""
    crowded.wechat.set(SYNCJOB_DATABASE_URL=on_path(crowded.url, "nowhere"))
    assert crowded.wechat.run("migrate") == 4
    assert "CREATE SCHEMA" in capsys.readouterr().err


def test_new_tables_are_created_beside_the_others(
    crowded: Shared, postgresql_databases: Databases
) -> None:
    """Whatever search_path is when it is migrated again."""
    crowded.query("CREATE SCHEMA wechat", "CREATE SCHEMA first")
    crowded.wechat.set(SYNCJOB_DATABASE_URL=on_path(crowded.url, "wechat"))
    assert crowded.wechat.run("migrate") == 0
    downgrade(on_path(crowded.url, "wechat"))
    crowded.query("SET LOCAL search_path = wechat", *TO_FORMER)
    crowded.wechat.set(SYNCJOB_DATABASE_URL=on_path(crowded.url, "first,wechat"))
    assert crowded.wechat.run("migrate") == 0
    assert crowded.wechat.run("sync") == 0
    assert crowded.query("SELECT version_num FROM wechat.syncjob_version") == [(CURRENT_REVISION,)]
    assert not [row for row in crowded.everything() if row[0] == "first"]
