"""PostgreSQL fails in the middle of a run: passing failures are retried, the rest have a cure.

Each failure is the server's own, or raised by a trigger that stands for a sick one.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from syncjob.database import engine
from syncjob.database.schema import upgrade
from syncjob.job.job import Plan
from syncjob.simulator import Request
from tests.conftest import Databases, World
from tests.servers import Server

Query = Callable[..., list[Any]]
Serve = Callable[..., World]
ALL_FINE = [(2_000, 2_000)]
COUNTS = "SELECT count(*), count(enriched_at) FROM followers"


@pytest.fixture
def databases(postgresql_databases: Databases) -> Databases:
    """PostgreSQL only: SQLite has no sessions to lose."""
    return postgresql_databases


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the store would have waited."""
    pauses: list[float] = []
    monkeypatch.setattr("syncjob.database.retry.time.sleep", pauses.append)
    return pauses


def fail(query: Query, table: str, event: str, sqlstate: str, times: int) -> None:
    """Make the first `times` statements on a table fail with that SQLSTATE."""
    query("CREATE SEQUENCE failures")  # sequences count on when a transaction is undone
    query(f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('failures') <= {times} THEN
                RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN NULL;
        END $$""")
    query(f"CREATE TRIGGER fail AFTER {event} ON {table} EXECUTE FUNCTION fail()")


STATEMENTS = [
    ("followers", "INSERT"),
    ("sweeps", "INSERT"),
    ("sweeps", "UPDATE"),
    ("runs", "INSERT"),
    ("runs", "UPDATE"),
    ("access_tokens", "INSERT"),
]


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57P01"])
@pytest.mark.parametrize(("table", "event"), STATEMENTS)
def test_a_step_that_was_undone_is_repeated(
    world: Serve, query: Query, pauses: list[float], table: str, event: str, sqlstate: str
) -> None:
    """Deadlocks, lock timeouts and their like: the run goes on, and counts nothing twice."""
    wechat = world(2_000, page_size=1_000)
    fail(query, table, event, sqlstate, times=3)

    assert wechat.run("sync") == 0

    assert len(pauses) == 3
    assert query(COUNTS) == ALL_FINE
    assert query("SELECT status, openids, new, enriched FROM runs") == [
        ("succeeded", 2_000, 2_000, 2_000)
    ]
    assert wechat.simulator.count("user/info/batchget") == 20


CURES = [
    ("53100", "free some space"),
    ("25006", "primary"),
    ("42501", "grant"),
    ("57014", "statement_timeout"),
    ("40P01", "made to fail"),
]


@pytest.mark.parametrize(("sqlstate", "cure"), CURES)
def test_a_lasting_failure_ends_with_exit_code_4_and_the_cure(
    world: Serve,
    query: Query,
    pauses: list[float],
    capsys: pytest.CaptureFixture[str],
    sqlstate: str,
    cure: str,
) -> None:
    """Once it is fixed, the next run completes the work."""
    wechat = world(2_000, page_size=1_000)
    wechat.set(SYNCJOB_DATABASE_PATIENCE="0")
    fail(query, "followers", "INSERT", sqlstate, times=1_000)

    assert wechat.run("sync") == 4

    said = capsys.readouterr().err
    assert cure in said
    assert "made to fail" in said
    assert pauses == []
    assert query("SELECT status FROM runs") == [("failed",)]
    query("DROP TRIGGER fail ON followers")
    assert wechat.run("sync") == 0
    assert query(COUNTS) == ALL_FINE


def throw_out(query: Query) -> Callable[[Request], None]:
    """Return a hook that ends all sessions of the job at each call."""
    one_at_a_time = threading.Lock()

    def end(request: Request) -> None:
        with one_at_a_time:
            query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE 'syncjob/%'"
            )

    return end


def test_an_administrator_ends_the_sessions(world: Serve, query: Query) -> None:
    """The job reconnects each time; no transaction is open during a call to WeChat."""
    wechat = world(2_000, page_size=500)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    wechat.simulator.on_request = throw_out(query)

    assert wechat.run("sync") == 0

    assert query(COUNTS) == ALL_FINE
    assert query("SELECT status, openids, new, enriched FROM runs") == [
        ("succeeded", 2_000, 2_000, 2_000)
    ]


def test_an_unconfirmed_commit_is_not_repeated(world: Serve, query: Query) -> None:
    """It may be stored or not: the run ends with exit code 4, and the next one goes on."""
    wechat = world(2_000, page_size=500)
    wechat.set(SYNCJOB_CONCURRENCY="8")
    wechat.simulator.on_request = throw_out(query)

    assert wechat.run("sync") in (0, 4)

    wechat.simulator.on_request = None
    assert wechat.run("sync") == 0
    assert query(COUNTS) == ALL_FINE
    assert query("SELECT sum(new) FROM runs") == [(2_000,)]


def test_sessions_have_a_name_and_timeouts(world: Serve, query: Query) -> None:
    """The administrator sees the account; no transaction is open during a call to WeChat."""
    wechat = world(300)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    seen: list[Any] = []

    def look(request: Request) -> None:
        seen.extend(
            query(
                "SELECT application_name, state FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    wechat.simulator.on_request = look
    assert wechat.run("sync") == 0

    assert {name for name, _ in seen if name} == {f"syncjob/{wechat.simulator.appid}"}
    assert {state for _, state in seen} == {"idle"}


def test_timeouts_are_set_unless_already_set(database_url: str) -> None:
    """Those of the URL, the role or the database win; a migration has none."""
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    show = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)

    def shown(url: str, **options: Any) -> tuple[str, ...]:
        opened = engine.open_engine(url, **options)
        with engine.reading(opened) as connection:
            row = tuple(connection.exec_driver_sql(show).one())
        opened.dispose()
        return row

    own = make_url(database_url).update_query_dict({"options": "-c statement_timeout=7s"})
    assert shown(database_url) == ("30s", "10min", "5min")
    assert shown(own.render_as_string(hide_password=False)) == ("30s", "7s", "5min")
    assert shown(database_url, timeouts=False) == ("0", "0", "0")


def test_a_held_lock_ends_the_run_after_the_timeout(
    world: Serve,
    query: Query,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 4 with where to look, and the next run completes the work."""
    wechat = world(300)
    wechat.set(
        SYNCJOB_DATABASE_URL=f"{database_url}{'&' if '?' in database_url else '?'}"
        "options=-c%20lock_timeout=50ms",
        SYNCJOB_DATABASE_PATIENCE="0",
    )
    with psycopg.connect(database_url.replace("postgresql+psycopg", "postgresql")) as other:
        other.execute("LOCK TABLE followers IN ACCESS EXCLUSIVE MODE")
        assert wechat.run("sync") == 4
        assert "pg_locks" in capsys.readouterr().err
    assert wechat.run("sync") == 0


# --- a server of its own, to be restarted ------------------------------------------------------


def test_a_restart_of_the_server_is_waited_for(
    serve: Serve,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
) -> None:
    """It crashes in mid-run and is back while the job waits: all followers are stored."""
    upgrade(server.url)
    wechat = serve(2_000, page_size=500)
    wechat.set(SYNCJOB_DATABASE_URL=server.url, SYNCJOB_CONCURRENCY="1")
    running = threading.RLock()
    crashes = [10, 4, 2]  # at these calls

    def crash(request: Request) -> None:
        with running:
            if server.is_up and crashes and len(wechat.simulator.requests) >= crashes[-1]:
                crashes.pop()
                server.stop()

    def recover(seconds: float) -> None:
        pauses.append(seconds)
        with running:
            server.start()

    monkeypatch.setattr("syncjob.database.retry.time.sleep", recover)
    wechat.simulator.on_request = crash

    assert wechat.run("sync") == 0

    assert crashes == []
    assert pauses
    with psycopg.connect(server.url) as connection:
        assert connection.execute(COUNTS).fetchall() == ALL_FINE
        runs = "SELECT status, openids, new, enriched FROM runs"
        assert connection.execute(runs).fetchall() == [("succeeded", 2_000, 2_000, 2_000)]


def test_a_server_that_does_not_come_back_ends_the_run(
    serve: Serve,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With exit code 4; when it is back, the next run abandons the dead one and goes on."""
    upgrade(server.url)
    wechat = serve(2_000, page_size=500)
    wechat.set(
        SYNCJOB_DATABASE_URL=server.url, SYNCJOB_CONCURRENCY="1", SYNCJOB_DATABASE_PATIENCE="0"
    )
    wechat.simulator.on_request = lambda request: (
        server.stop() if len(wechat.simulator.requests) == 10 else None
    )

    assert wechat.run("sync") == 4
    said = capsys.readouterr().err
    assert "cannot be used" in said
    assert wechat.run("sync") == 4

    server.start()
    wechat.run_job(plan=Plan(), is_dead=lambda holder: True)
    with psycopg.connect(server.url) as connection:
        assert connection.execute(COUNTS).fetchall() == ALL_FINE


# --- refused sessions ---------------------------------------------------------------------------


@pytest.fixture
def limited(database_url: str, query: Query) -> Iterator[str]:
    """The URL of a role that may have one session at a time, and has a password."""
    role = f"limited_{uuid4().hex[:8]}"
    query(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1 PASSWORD 'hunter2'")
    for what in ("TABLES", "SEQUENCES"):
        query(f"GRANT ALL ON ALL {what} IN SCHEMA public TO {role}")
    url = make_url(database_url).set(username=role, password="hunter2")
    yield url.render_as_string(hide_password=False)
    query(f"DROP OWNED BY {role}")
    query(f"DROP ROLE {role}")


def test_a_server_without_free_sessions_is_waited_for(
    world: Serve, query: Query, limited: str, pauses: list[float]
) -> None:
    """The role has all its sessions: one of them ends, and the run begins."""
    wechat = world(50)
    wechat.set(SYNCJOB_DATABASE_URL=limited, SYNCJOB_CONCURRENCY="1")
    held = psycopg.connect(limited)
    real = pauses.append

    def end_it(seconds: float) -> None:
        real(seconds)
        held.close()
        while query("SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'limited_%'"):
            pass

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("syncjob.database.retry.time.sleep", end_it)
        assert wechat.run("status") == 0
    assert len(pauses) == 1


def test_a_role_that_is_always_refused_ends_with_the_cure(
    world: Serve, limited: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the retries; a wrong name at once."""
    wechat = world(50)
    wechat.set(SYNCJOB_DATABASE_URL=limited, SYNCJOB_DATABASE_PATIENCE="0.2")
    with psycopg.connect(limited):
        assert wechat.run("sync") == 4
    said = capsys.readouterr().err
    assert "raise max_connections or the role's limit" in said
    assert "hunter2" not in said
    elsewhere = make_url(limited).set(database="no_such_database")
    wechat.set(SYNCJOB_DATABASE_URL=elsewhere.render_as_string(hide_password=False))
    assert wechat.run("sync") == 4
    assert "create it, or check SYNCJOB_DATABASE_URL" in capsys.readouterr().err
    assert wechat.simulator.counts == {}
