"""SYNCJOB_DATABASE_URL: libpq's options are passed on, all others end with exit code 2 by name."""

import socket
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq
from sqlalchemy import make_url

from tests.conftest import Databases, World
from tests.job.test_runs import SYNCJOB

Query = Callable[..., list[Any]]
CANARY = "canary-5ecret"
# Options that no driver may get, and what the error says beside the name.
REFUSED = {
    "schema=crm": "search_path",
    "currentSchema=crm": "ALTER ROLE",
    "ssl=true": "sslmode=require",
    "useSSL=true": "sslmode=require",
    "sslmode=required": "did you mean require?",
    "sslmode=true": "did you mean require?",
    "sslmode=verify_full": "did you mean verify-full?",
    "sslMode=require": "did you mean sslmode?",
    "aplication_name=x": "did you mean application_name?",
    "target_session_attrs=master": "read-write",
    "load_balance_hosts=true": "random",
    "channel_binding=on": "require",
    "autocommit=false": "leave it out",
    "prepare_threshold=0": "leave it out",
    "row_factory=x": "leave it out",
    "cursor_factory=x": "leave it out",
    "context=x": "leave it out",
    "connect_args=x": "leave it out",
    "pgbouncer=true": "leave it out",
    "connection_limit=1": "leave it out",
    "pool_size=5": "leave it out",
    "conn_max_age=60": "leave it out",
    "server_settings=x": "leave it out",
    "charset=utf8mb4": "UTF-8",
    "client_encoding=latin1": "UTF-8",
    "replication=database": "leave it out",
    "timeout=5": "connect_timeout",
    "connectTimeout=5": "connect_timeout",
    "connect_timeout=5s": "a whole number",
    "connect_timeout=-1": "a whole number",
    "keepalives_idle=soon": "a whole number",
    "statement_timeout=5000": "options=-cstatement_timeout%3DVALUE",
    "dsn=dbname%3Dx": "service=NAME",
    "port=5432&port=1": "'port' 2 times; write host=a,b&port=1,2",
    "sslmode=require&sslmode=require": "'sslmode' 2 times",
    "host=a:5432&host=b:5432": "write host=a,b&port=1,2",
    "host=a:5432": "write host=a&port=5432",
    "host=[::1]": "without brackets",
    "host=a,b&port=1,2,3": "names 2 hosts and 3 of port",
    "port=0": "invalid port number",
    "port=99999": "invalid port number",
    "application_name": "without a value",
    "application_name=%00": "%00",
    "service=not-written-down": 'definition of service "not-written-down" not found',
    "sslrootcert=system&sslmode=require": "verify-full",
}


@pytest.mark.parametrize(("query", "words"), REFUSED.items(), ids=REFUSED.keys())
def test_an_option_that_libpq_does_not_have_is_refused(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], query: str, words: str
) -> None:
    """Exit code 2, with its name and the equivalent; no connection is made."""
    wechat = serve()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        place = f"u:{CANARY}@" if query.startswith(("host=", "port=")) else f"u:{CANARY}@{address}"
        wechat.set(SYNCJOB_DATABASE_URL=f"postgresql://{place}/crm?{query}")
        assert wechat.run("status") == 2
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    said = capsys.readouterr().err
    assert words in said
    assert query.split("=")[0].split("&")[0] in said
    assert CANARY not in said


def test_every_option_of_the_installed_libpq_is_accepted(
    postgresql_databases: Databases, serve: Callable[..., World], tmp_path: Path
) -> None:
    """With its default value, or an equivalent one."""
    wechat = serve()
    url = make_url(postgresql_databases.make())
    values = {
        "connect_timeout": "9",
        "keepalives": "1",
        "keepalives_idle": "20",
        "keepalives_interval": "5",
        "keepalives_count": "2",
        "tcp_user_timeout": "9000",
        "passfile": str(tmp_path / "none"),
        "application_name": "crm of ours",
        "fallback_application_name": "x",
        "client_encoding": "utf-8",
        "options": "-c jit=off",
        "sslcertmode": "disable",
        "min_protocol_version": "3.0",
        "require_auth": "!password",
    }
    tried = 0
    for option in pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        value = values.get(name, option.val.decode() if option.val else None)
        if value is None or name in ("user", "password", "host", "port", "dbname"):
            continue
        tried += 1
        own = url.update_query_dict({name: value}).render_as_string(hide_password=False)
        wechat.set(SYNCJOB_DATABASE_URL=own)
        assert wechat.run("migrate", "--quiet") == 0, name
    assert tried > 15


def test_options_reach_the_server(
    postgresql_databases: Databases, serve: Callable[..., World]
) -> None:
    """A blank may be written as %20 or as +; an application_name replaces ours."""
    wechat = serve(20)
    url = make_url(postgresql_databases.make())
    seen: list[Any] = []

    def look(_: Any) -> None:
        with psycopg.connect(url.render_as_string(hide_password=False)) as other:
            seen.extend(
                other.execute(
                    "SELECT application_name FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).fetchall()
            )

    wechat.simulator.on_request = look
    separator = "&" if url.query else "?"
    plain = url.render_as_string(hide_password=False)
    wechat.set(
        SYNCJOB_DATABASE_URL=f"{plain}{separator}application_name=the+job%20of%40crm"
        "&options=-c%20lock_timeout%3D7s"
    )
    assert wechat.run("sync") == 0
    assert {name for (name,) in seen} == {"the job of@crm"}


# --- where ---------------------------------------------------------------------------------------


def forms(url: str) -> dict[str, str]:
    """One database in the forms that libpq takes, on the socket of the tests' server."""
    parsed = make_url(url)
    folder = str(parsed.query.get("host") or parsed.host or "localhost")
    user, name = parsed.username or "", parsed.database or ""
    encoded = folder.replace("/", "%2F")
    login = f"{user}@" if user else ""
    return {
        "a socket as the host": f"postgresql://{login}{encoded}/{name}",
        "a socket in the query": f"postgresql://{login}/{name}?host={folder}",
        "all in the query": f"postgresql://?host={encoded}&dbname={name}&user={user}",
        "the short scheme": f"postgres://{login}{encoded}/{name}",
        "the driver in the scheme": f"postgresql+psycopg://{login}{encoded}/{name}",
        "two hosts, the first of which is down": f"postgresql://{login}127.0.0.1:1,{encoded}/{name}",
        "two hosts in the query": f"postgresql://{login}/{name}?host=127.0.0.1,{folder}&port=1,",
        "an IPv6 address that is down": f"postgresql://{login}[::1]:1,{encoded}/{name}",
        "an @ in an option": f"postgresql://{login}{encoded}/{name}?application_name=a@b",
    }


@pytest.mark.parametrize("form", forms("sqlite://").keys())
def test_the_forms_of_libpq_are_understood(
    postgresql_databases: Databases, serve: Callable[..., World], form: str
) -> None:
    """Each leads to the same database."""
    url = postgresql_databases.make()
    if not str(make_url(url).query.get("host", "")).startswith("/"):
        pytest.skip("the server of SYNCJOB_TEST_DATABASE_URL has no socket here")
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=forms(url)[form], SYNCJOB_CONCURRENCY="1")
    assert wechat.run("sync") == 0
    with psycopg.connect(url) as other:
        assert other.execute("SELECT count(*) FROM followers").fetchone() == (3,)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://::1/crm", "without brackets; write postgresql://[::1]:5432/database"),
        ("postgresql://u@2001:db8::1:5432/crm", "without brackets"),
        ("postgresql://[::1/crm", "port that is no number"),
        ("postgresql://db:54a/crm", "port that is no number"),
        ("postgresql://db:5432/crm?port=5433", "says port twice"),
        ("postgresql://u:p@db/crm?user=v", "says user twice"),
        ("postgresql://db/100%crm", "a % that encodes nothing is written %25"),
        ("postgresql://u:p@ss@db/crm", "more than one @"),
        ("postgresql://db/crm?se@cret", "a ? in a password is written %3F"),
        ("postgresql+psycopg2://db/crm", "'postgresql+psycopg2' URL; expected postgresql://"),
        ("postgresql+asyncpg://db/crm", "the drivers come with syncjob"),
        ("jdbc:postgresql://db/crm", "'jdbc:postgresql' URL; expected postgresql://"),
        ("mysql+pymysql://db/crm", "'mysql+pymysql' URL; expected postgresql://"),
        ("mysql://db/crm", "'mysql' URL; expected postgresql://user@host/database or sqlite:"),
        ("host=db dbname=crm", "no URL; expected postgresql://"),
        ("sqlite://syncjob.db", "three slashes"),
        ("sqlite:///", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
        ("sqlite:///a?b.db", "'b.db'; expected none, or of cache, mode, timeout, uri; a ?"),
        ("sqlite:///C:\\data\\syncjob.db", "a file of Windows"),
        ("sqlite:///C:/data/syncjob.db", "a file of Windows"),
        ("sqlite:///~/syncjob.db", "~, which only a shell knows"),
        ("sqlite:///s.db?mode=memory", "expected one of ro, rw, rwc"),
        ("sqlite:///s.db?mode=ro&mode=rw", "'mode' twice"),
        ("sqlite:///s.db?cache=shared", "expected one of private"),
        ("sqlite:///s.db?nolock=1", "would lose what others write"),
        ("sqlite:///s.db?immutable=1", "would lose what others write"),
        ("sqlite:///s.db?timeout=5s", "timeout='5s'; expected seconds, at most 120"),
        ("sqlite:///s.db?timeout=121", "timeout='121'; expected seconds, at most 120"),
        ("sqlite:///s.db?sslmode=require", "'sslmode'; expected none"),
        ("sqlite:///file:s.db?mode=memory&uri=true", "expected one of ro, rw, rwc"),
    ],
)
def test_a_url_that_others_misread_is_refused_with_the_right_spelling(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    """Exit code 2, the right spelling, and no file is created."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL=url)
    for command in ("migrate", "status"):
        assert wechat.run(command) == 2
        assert words in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_special_characters_may_be_in_a_password(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Unencoded ones keep working, and are never shown as a host, option or database."""
    wechat = serve()
    for password in (
        f"p/{CANARY}",
        f"p?{CANARY}=1",
        f"p#{CANARY}",
        f"5432/{CANARY}",
        f"p%{CANARY}",
    ):
        wechat.set(SYNCJOB_DATABASE_URL=f"postgresql://u:{password}@127.0.0.1:1/crm")
        assert wechat.run("status") == 4
        said = capsys.readouterr().err
        assert "127.0.0.1:1/crm cannot be used: Connection refused" in said
        assert CANARY not in said


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///relative.db", "relative.db"),
        ("sqlite:///a%20b.db", "a b.db"),
        ("sqlite:///a b.db", "a b.db"),
        ("sqlite:///a%3Fb%23.db", "a?b#.db"),
        ("sqlite:///100%.db", "100%.db"),
        ("sqlite:///file:relative.db", "relative.db"),
        ("sqlite:///file:a%3Fb.db?mode=rwc&uri=true", "a?b.db"),
        ("sqlite:///名.db?mode=rwc", "名.db"),
    ],
)
def test_the_named_file_is_the_one_that_is_created(
    serve: Callable[..., World], url: str, name: str
) -> None:
    """And no other, whatever its name contains; Python logs nothing."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=url)
    for command in ("migrate", "sync"):
        run = subprocess.run([*SYNCJOB, command], capture_output=True, text=True, timeout=60)
        assert (run.returncode, run.stderr) == (0, "")
    assert [path.name for path in Path().glob("*") if not path.name.endswith(("-wal", "-shm"))] == [
        name
    ]
    with sqlite3.connect(name) as other:
        assert other.execute("SELECT count(*) FROM followers").fetchone() == (3,)


def test_a_file_whose_name_looks_encoded_stays_the_file(serve: Callable[..., World]) -> None:
    """Earlier versions decoded nothing."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL="sqlite:///plain.db")
    assert wechat.run("migrate") == 0
    Path("plain.db").rename("a%20b.db")
    wechat.set(SYNCJOB_DATABASE_URL="sqlite:///a%20b.db")
    assert wechat.run("sync") == 0
    assert not Path("a b.db").exists()


def test_a_file_may_be_opened_to_read_only(serve: Callable[..., World], sqlite_url: str) -> None:
    """`?mode=ro`: reports are shown, a run is refused with the cure, Python logs no warning."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    assert wechat.run("sync") == 0
    wechat.set(SYNCJOB_DATABASE_URL=f"{sqlite_url}?mode=ro")
    shown = subprocess.run([*SYNCJOB, "status"], capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    refused = subprocess.run([*SYNCJOB, "sync"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 4
    assert "readonly" in refused.stderr
    assert "Warning" not in refused.stderr


def test_a_service_file_is_read_by_libpq(
    postgresql_databases: Databases,
    serve: Callable[..., World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It may name the database; options of the driver in it are refused."""
    url = postgresql_databases.make()
    wechat = serve(3)
    file = tmp_path / "pg_service.conf"
    lines = [
        f"{option.keyword.decode()}={option.val.decode()}"
        for option in pq.Conninfo.parse(url.encode())
        if option.val and option.keyword != b"password"
    ]
    wechat.set(PGSERVICEFILE=str(file), SYNCJOB_DATABASE_URL="postgresql://?service=crm")
    file.write_text("\n".join(["[crm]", *lines, "autocommit=false"]))
    assert wechat.run("sync") == 2
    assert "syntax error in service file" in capsys.readouterr().err
    if not make_url(url).password:
        file.write_text("\n".join(["[crm]", *lines]))
        assert wechat.run("sync") == 0
        with psycopg.connect(url) as other:
            assert other.execute("SELECT count(*) FROM followers").fetchone() == (3,)


@pytest.mark.parametrize(
    ("name", "value"), [("PGSSLMODE", "required"), ("PGSERVICE", "none"), ("PGPORT", "x")]
)
def test_a_wrong_variable_of_libpqs_is_named(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """The error does not blame the URL."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL="postgresql://job@127.0.0.1/crm", **{name: value})
    assert wechat.run("status") == 2
    assert f"{name} in the environment, or a service file, cannot be used" in (
        capsys.readouterr().err
    )
