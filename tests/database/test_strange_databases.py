"""Databases that the job cannot use: each command ends with an error, the doctor never breaks."""

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from syncjob.database.schema import upgrade
from tests.conftest import Databases, World

Serve = Callable[..., World]
COMMANDS = [
    *(["migrate"], ["sync"], ["sync", "--dry-run"], ["status"], ["runs"], ["unfollows"]),
    *(["quota"], ["plan"], ["backfill"], ["metrics"], ["unfollows", "approve"]),
]
CURE = "make a database with: createdb -T template0 -E UTF8"


@pytest.fixture(params=["LATIN1", "SQL_ASCII", "EUC_CN", "MULE_INTERNAL"])
def encoded(request: pytest.FixtureRequest, postgresql_server: str) -> Iterator[tuple[str, str]]:
    """The URL of an empty database of that encoding."""
    name = f"encoded_{uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as server:
        server.execute(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0"
        )
        url = make_url(postgresql_server).set(database=name)
        yield request.param, url.render_as_string(hide_password=False)
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_is_not_utf8_is_refused(
    serve: Serve, encoded: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By every command, with exit code 4 and the cure; nothing is created in it."""
    encoding, url = encoded
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=url)
    for command in COMMANDS:
        assert wechat.run(*command) == 4, command
        said = capsys.readouterr().err
        assert encoding in said
        assert CURE in said
    assert wechat.run("doctor", "--offline") == 1
    assert CURE in capsys.readouterr().out
    assert wechat.simulator.counts == {}
    with psycopg.connect(url, client_encoding="SQL_ASCII") as other:
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert other.execute(tables).fetchone() == (0,)


@pytest.mark.parametrize("encoding", ["LATIN1", "GBK", "SQL_ASCII", "BIG5"])
def test_the_encoding_of_the_environment_is_ignored(
    serve: Serve, postgresql_databases: Databases, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """PGCLIENTENCODING, or that of the role, changes nothing: names are stored unchanged."""
    wechat = serve(20)
    url = postgresql_databases.make()
    wechat.set(SYNCJOB_DATABASE_URL=url)
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    assert wechat.run("sync") == 0
    assert wechat.run("status") == 0
    assert wechat.run("doctor", "--offline") == 0
    monkeypatch.delenv("PGCLIENTENCODING")
    with psycopg.connect(url) as other:
        broken = "SELECT count(*) FROM followers WHERE nickname LIKE '%?%' OR remark LIKE '%?%'"
        assert other.execute(broken).fetchone() == (0,)


# --- the doctor ----------------------------------------------------------------------------------


def letter(folder: Path) -> str:
    """A file that is no database."""
    (folder / "letter.txt").write_text("Dear Sir or Madam, " * 100)
    return f"sqlite:///{folder}/letter.txt"


def empty_file(folder: Path) -> str:
    """An empty file."""
    (folder / "empty.db").touch()
    return f"sqlite:///{folder}/empty.db"


def a_folder(folder: Path) -> str:
    """No file at all."""
    (folder / "folder.db").mkdir()
    return f"sqlite:///{folder}/folder.db"


def corrupt(folder: Path) -> str:
    """A file with overwritten pages."""
    path = folder / "corrupt.db"
    upgrade(f"sqlite:///{path}")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)
    return f"sqlite:///{path}"


def half(folder: Path) -> str:
    """A file from which tables were removed."""
    path = folder / "half.db"
    upgrade(f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        for table in ("quarantine", "runs", "api_errors"):
            other.execute(f"DROP TABLE {table}")
    other.close()
    return f"sqlite:///{path}"


def foreign(folder: Path) -> str:
    """A file of another program."""
    path = folder / "foreign.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE followers (a)")
    other.close()
    return f"sqlite:///{path}"


def stamped(folder: Path) -> str:
    """A file at an unknown revision."""
    path = folder / "stamped.db"
    upgrade(f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        other.execute("UPDATE syncjob_version SET version_num = 'ae1027a6acf'")
    other.close()
    return f"sqlite:///{path}"


def versions_of_another(folder: Path) -> str:
    """A file with a table that is named like our version table."""
    path = folder / "versions.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE syncjob_version (a)")
    other.close()
    return f"sqlite:///{path}"


STRANGE: dict[str, Callable[[Path], str]] = {
    one.__name__: one
    for one in (
        *(letter, empty_file, a_folder, corrupt, half, foreign, stamped, versions_of_another),
    )
} | {
    "no such folder": lambda folder: f"sqlite:///{folder}/no/such.db",
    "no such file": lambda folder: f"sqlite:///{folder}/none.db",
    "nobody listens": lambda folder: "postgresql://job@127.0.0.1:1/crm",
    "no such host": lambda folder: "postgresql://job@no-such-host.invalid/crm",
    "no such socket": lambda folder: f"postgresql://job@/crm?host={folder}",
    "an unknown option": lambda folder: "postgresql://job@127.0.0.1:1/crm?schema=x",
    "a wrong port": lambda folder: "postgresql://job@127.0.0.1:port/crm",
    "another database": lambda folder: "mysql://job@127.0.0.1/crm",
    "no URL": lambda folder: "crm",
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE.keys())
def test_the_doctor_names_each_defect(
    serve: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], str],
) -> None:
    """A fault with a cure, never an internal error; other commands end with an error as well."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=make(tmp_path))
    assert wechat.run("doctor", "--offline", "--json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    faults = [one for one in found if one["level"] == "fault"]
    assert faults
    assert all(one["cure"] for one in faults)
    assert not [one for one in found if "the check itself failed" in one["what"]]
    for command in ("status", "sync", "plan"):
        assert wechat.run(command) in (2, 4), command
        said = capsys.readouterr().err
        assert "internal error" not in said
        assert said.startswith("syncjob: ")


def test_the_doctor_names_a_silent_server(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """It gives up after a while."""
    wechat = serve(3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        wechat.set(SYNCJOB_DATABASE_URL=f"postgresql://job@127.0.0.1:{port}/x?connect_timeout=2")
        assert wechat.run("doctor", "--offline") == 1
    assert "no answer in time" in capsys.readouterr().out


def test_the_doctor_names_a_file_that_is_locked(
    serve: Serve,
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Locked for reading too, as only a file without WAL mode can be."""
    wechat = serve(3)
    path = make_url(sqlite_url).database or ""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN EXCLUSIVE")
    wechat.set(SYNCJOB_DATABASE_URL=f"{sqlite_url}?timeout=0.1")
    assert wechat.run("doctor", "--offline") == 1
    assert "another program holds it" in capsys.readouterr().out
    other.execute("ROLLBACK")
    other.close()


def test_a_postgresql_whose_tables_were_removed_is_named(
    serve: Serve, postgresql_databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with a file."""
    wechat = serve(3)
    url = postgresql_databases.make()
    wechat.set(SYNCJOB_DATABASE_URL=url)
    with psycopg.connect(url) as other:
        other.execute("DROP TABLE followers, sweeps CASCADE")
    assert wechat.run("doctor", "--offline") == 1
    assert "lacks followers, sweeps, which its revision has" in capsys.readouterr().out
    assert wechat.run("sync") == 4


def test_a_check_that_breaks_is_a_finding(
    serve: Serve, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other checks still run, and the exit code is that of a fault."""
    from syncjob.doctor.findings import guarded, ok

    def breaks() -> Iterator[Any]:
        yield ok("one", "fine")
        raise ZeroDivisionError

    first, second = guarded("two", breaks)
    assert (first.check, second.check) == ("one", "two")
    assert "the check itself failed: ZeroDivisionError at test_strange_databases.py" in second.what
