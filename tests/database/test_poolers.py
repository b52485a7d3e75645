"""PgBouncer, in each of its modes, between the job and PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import make_url

from syncjob.database.schema import CURRENT_REVISION, upgrade
from syncjob.simulator import Request
from tests.conftest import Databases, World
from tests.poolers import Pooler, connect
from tests.servers import Server

Serve = Callable[..., World]
Query = Callable[..., list[Any]]
SHOWN = (
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"),
    *("TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings", "search_path"),
)
SHOW = "SELECT " + ", ".join(f"current_setting('{name}')" for name in SHOWN)
LEFT = """SELECT (SELECT count(*) FROM pg_prepared_statements),
    (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"""
COUNTS = "SELECT count(*), count(enriched_at), count(*) FILTER (WHERE subscribe) FROM followers"


@pytest.fixture
def databases(postgresql_databases: Databases) -> Databases:
    """PostgreSQL only."""
    return postgresql_databases


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the store would have waited."""
    pauses: list[float] = []
    monkeypatch.setattr("syncjob.database.retry.time.sleep", pauses.append)
    return pauses


@pytest.fixture
def pooler(postgresql_server: str) -> Iterator[Pooler]:
    """A pooler in transaction mode with four sessions of the server."""
    with Pooler(postgresql_server) as made:
        yield made


@contextmanager
def busy_others(url: str, clients: int = 6) -> Iterator[list[Any]]:
    """Have other programs use the pool meanwhile; yield what each finds in its session."""
    found: list[Any] = []
    over = threading.Event()

    def work() -> None:
        with connect(url) as other:
            while not over.is_set():
                found.append(other.execute(SHOW).fetchone())
                found.append(other.execute(LEFT).fetchone())
                with other.transaction():
                    other.execute("SELECT pg_sleep(0.002)")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_twenty_syncs_share_four_sessions_with_other_programs(
    serve: Serve, pooler: Pooler, query: Query, database_url: str
) -> None:
    """All succeed, the tables are right, and other programs' sessions have nothing of ours."""
    wechat = serve(1_000, page_size=500)
    wechat.set(SYNCJOB_CONCURRENCY="8", SYNCJOB_SWEEP_EVERY="0")
    wechat.set(SYNCJOB_DATABASE_URL=pooler.url(database_url))
    account = wechat.account
    before = connect(database_url)
    unchanged, nothing = before.execute(SHOW).fetchone(), (0, 0, 0)

    with busy_others(pooler.url(database_url)) as found:
        for turn in range(20):
            openids = list(account.openids())
            if turn:
                account.follow(10)
                account.unfollow(openids[turn])
                account.override(openids[50 + turn], nickname=f"turn {turn}")
            arguments = ("backfill",) if turn == 10 else ("sync",)
            assert wechat.run(*arguments) == 0

    assert query(COUNTS) == [(1_190, 1_190, 1_171)]
    assert query("SELECT status, count(*) FROM runs GROUP BY 1") == [("succeeded", 20)]
    assert {row for row in found if row} == {unchanged, nothing}
    before.close()


def test_a_pool_of_one_session_is_enough(
    serve: Serve, postgresql_server: str, query: Query, database_url: str
) -> None:
    """No transaction waits for another one of ours, so there is no deadlock."""
    wechat = serve(500, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY="8", SYNCJOB_BATCH_SIZE="10")
    with Pooler(postgresql_server, default_pool_size=1) as pooler:
        wechat.set(SYNCJOB_DATABASE_URL=pooler.url(database_url))
        for command in (["sync"], ["backfill"], ["status"], ["doctor", "--offline"]):
            assert wechat.run(*command) == 0
    assert query(COUNTS) == [(500, 500, 500)]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_tables_are_created_through_a_pooler(
    serve: Serve,
    postgresql_server: str,
    databases: Databases,
    capsys: pytest.CaptureFixture[str],
    mode: str,
) -> None:
    """By two at once, and they leave nothing but the tables; the doctor names the mode."""
    url = databases.make_empty()
    wechat = serve(50)
    with Pooler(postgresql_server, mode) as pooler:
        wechat.set(SYNCJOB_DATABASE_URL=pooler.url(url))
        with ThreadPoolExecutor() as two:
            made = [two.submit(upgrade, pooler.url(url)) for _ in range(2)]
        assert {migrated.result()[1] for migrated in made} == {CURRENT_REVISION}
        assert wechat.run("migrate") == 0
        assert wechat.run("sync") == 0
        capsys.readouterr()
        assert wechat.run("doctor", "--offline") == 0
        assert f"through a pooler in {mode} mode" in capsys.readouterr().out
        with connect(pooler.url(url)) as other_program:
            assert other_program.execute(LEFT).fetchone() == (0, 0, 0)
    with connect(url) as direct:
        assert direct.execute(COUNTS).fetchone() == (50, 50, 50)


def test_the_doctor_sees_no_pooler_where_there_is_none(
    world: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """A direct connection is served by the backend that its start named."""
    wechat = world(5)
    assert wechat.run("doctor", "--offline") == 0
    assert "pooler" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["sync"], ["migrate"], ["status"], ["doctor", "--offline"]])
def test_statement_mode_is_refused_in_words(
    serve: Serve,
    postgresql_server: str,
    database_url: str,
    pauses: list[float],
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    """At once, with the cure, and before any call to WeChat."""
    wechat = serve(5)
    with Pooler(postgresql_server, "statement") as pooler:
        wechat.set(SYNCJOB_DATABASE_URL=pooler.url(database_url))
        assert wechat.run(*command) == (1 if command[0] == "doctor" else 4)
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert "transaction blocks not allowed in statement pooling mode" in said
    assert "set pool_mode = transaction" in said
    assert pauses == []
    assert wechat.simulator.counts == {}


def test_options_that_a_pooler_refuses_are_cured_by_the_role(
    serve: Serve, pooler: Pooler, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`?options=` reaches no session; ALTER ROLE does."""
    wechat = serve(5)
    url = pooler.url(database_url, options="-c search_path=elsewhere")
    wechat.set(SYNCJOB_DATABASE_URL=url)
    assert wechat.run("sync") == 4
    assert "ALTER ROLE … SET search_path" in capsys.readouterr().err


def test_a_schema_of_the_role_is_used_through_a_pooler(
    serve: Serve, pooler: Pooler, databases: Databases
) -> None:
    """Each session starts with what ALTER DATABASE or ALTER ROLE set."""
    url = databases.make_empty()
    wechat = serve(20)
    with connect(url) as admin:
        admin.execute("CREATE SCHEMA crm")
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" SET search_path = crm'.encode())
        wechat.set(SYNCJOB_DATABASE_URL=pooler.url(url))
        assert wechat.run("migrate") == 0
        assert wechat.run("sync") == 0
        assert admin.execute("SELECT count(*) FROM crm.followers").fetchone() == (20,)


def test_a_restart_of_the_pooler_is_waited_for(
    serve: Serve,
    pooler: Pooler,
    query: Query,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of a run, three times; nothing is counted twice."""
    wechat = serve(2_000, page_size=500)
    wechat.set(SYNCJOB_DATABASE_URL=pooler.url(database_url), SYNCJOB_CONCURRENCY="1")
    running, crashes, is_up = threading.RLock(), [10, 4, 2], [True]

    def crash(request: Request) -> None:
        with running:
            if is_up and crashes and len(wechat.simulator.requests) >= crashes[-1]:
                crashes.pop()
                is_up.clear()
                pooler.stop()

    def recover(seconds: float) -> None:
        with running:
            if not is_up:
                pooler.start()
                is_up.append(True)

    monkeypatch.setattr("syncjob.database.retry.time.sleep", recover)
    wechat.simulator.on_request = crash

    assert wechat.run("sync") == 0

    assert crashes == []
    assert query(COUNTS) == [(2_000, 2_000, 2_000)]
    assert query("SELECT status, new, enriched FROM runs") == [("succeeded", 2_000, 2_000)]


def test_a_pooler_without_room_is_waited_for(
    serve: Serve,
    postgresql_server: str,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another client ends, and the command goes on; if none ends, there is a cure."""
    wechat = serve(5)
    with Pooler(postgresql_server, max_client_conn=1) as pooler:
        wechat.set(SYNCJOB_DATABASE_URL=pooler.url(database_url))
        other = connect(pooler.url(database_url))
        other.execute("SELECT 1")
        wechat.set(SYNCJOB_DATABASE_PATIENCE="0.2")
        assert wechat.run("status") == 4
        assert "max_client_conn" in capsys.readouterr().err
        wechat.set(SYNCJOB_DATABASE_PATIENCE="60")
        monkeypatch.setattr("syncjob.database.retry.time.sleep", lambda seconds: other.close())
        assert wechat.run("status") == 0


def test_a_restart_of_the_server_behind_the_pooler_is_waited_for(
    serve: Serve, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It crashes in mid-run, the pooler stays; all followers are stored, and counted once."""
    upgrade(server.url)
    wechat = serve(2_000, page_size=500)
    running, crashes = threading.RLock(), [10, 4, 2]

    def crash(request: Request) -> None:
        with running:
            if server.is_up and crashes and len(wechat.simulator.requests) >= crashes[-1]:
                crashes.pop()
                server.stop()

    def recover(seconds: float) -> None:
        with running:
            server.start()

    monkeypatch.setattr("syncjob.database.retry.time.sleep", recover)
    wechat.simulator.on_request = crash

    # The pooler says so only to whoever has waited for it to try again.
    with Pooler(server.url, query_wait_timeout=1) as pooler:
        wechat.set(SYNCJOB_DATABASE_URL=pooler.url(server.url), SYNCJOB_CONCURRENCY="1")
        assert wechat.run("sync") == 0

    assert crashes == []
    with connect(server.url) as direct:
        assert direct.execute(COUNTS).fetchone() == (2_000, 2_000, 2_000)
        runs = direct.execute("SELECT status, new, enriched FROM runs").fetchall()
        assert runs == [("succeeded", 2_000, 2_000)]


@pytest.mark.parametrize(("sqlstate", "code"), [("40001", 0), ("08P01", 4), ("57P01", 4)])
def test_a_commit_that_a_pooler_did_not_confirm_is_not_repeated(
    world: Serve, query: Query, sqlstate: str, code: int
) -> None:
    """A pooler that loses the server says 08P01: the transaction may be stored or not.

    A server that refuses to commit says why, and has certainly stored nothing.
    """
    query("CREATE SEQUENCE failures")
    query(f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('failures') = 1 THEN
                RAISE EXCEPTION 'server conn crashed?' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN NULL;
        END $$""")
    query("""CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON followers
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()""")
    wechat = world(50)

    assert wechat.run("sync") == code

    query("DROP TRIGGER fail ON followers")
    assert wechat.run("sync") == 0
    assert query(COUNTS) == [(50, 50, 50)]


def test_all_sessions_taken_for_too_long_name_the_pool(
    serve: Serve,
    postgresql_server: str,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PgBouncer's query_wait_timeout: the pool is too small."""
    wechat = serve(5)
    wechat.set(SYNCJOB_DATABASE_PATIENCE="0.2")
    settings = {"default_pool_size": 1, "query_wait_timeout": 1}
    with Pooler(postgresql_server, **settings) as pooler:
        url = pooler.url(database_url)
        wechat.set(SYNCJOB_DATABASE_URL=url)
        with connect(url) as other, other.transaction():
            other.execute("SELECT 1")
            assert wechat.run("sync") == 4
        assert "default_pool_size" in capsys.readouterr().err
        assert wechat.run("sync") == 0


# --- settings of a session, from any source ----------------------------------------------------

ODD = {
    "DateStyle": "SQL, DMY",
    "TimeZone": "Asia/Kathmandu",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "lc_monetary": "C",
    "lc_time": "C",
    "jit_above_cost": "0",
    "enable_seqscan": "off",
    "transform_null_equals": "on",
    "synchronous_commit": "off",
    "statement_timeout": "5min",
}


def set_for(origin: str, query: Query, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set odd values by that source; return what to add to the URL."""
    if origin in ("DATABASE", "ROLE"):
        owner = f'DATABASE "{database}"' if origin == "DATABASE" else "ROLE postgres"
        within = "" if origin == "DATABASE" else f' IN DATABASE "{database}"'
        for name, value in ODD.items():
            query(f"ALTER {owner}{within} SET {name} = '{value}'")
    elif origin == "variables":
        monkeypatch.setenv("PGDATESTYLE", "German")
        monkeypatch.setenv("PGTZ", "America/St_Johns")
        monkeypatch.setenv("PGCLIENTENCODING", "GBK")
    else:
        options = " ".join(
            f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in ODD.items()
        )
        if origin == "PGOPTIONS":
            monkeypatch.setenv("PGOPTIONS", options)
        else:
            return options
    return ""


@pytest.mark.parametrize("origin", ["ROLE", "DATABASE", "variables", "PGOPTIONS", "URL"])
def test_settings_of_a_session_change_nothing(
    serve: Serve,
    query: Query,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    origin: str,
) -> None:
    """Whatever was set where, commands work, and instants and names are stored unchanged."""
    wechat = serve(300, page_size=100, profiles="full")
    wechat.set(SYNCJOB_CONCURRENCY="8", SYNCJOB_SWEEP_EVERY="0")
    name = make_url(database_url).database or ""
    openids = list(wechat.account.openids())
    wechat.account.override(openids[0], nickname="大王🐯 \\ 'x'", subscribe_time=1_700_000_000)
    options = set_for(origin, query, name, monkeypatch)
    socket = make_url(database_url).query["host"]
    wechat.set(
        SYNCJOB_DATABASE_URL=f"postgresql:///{name}?user=postgres&host={socket}"
        + (f"&options={options.replace(' ', '%20').replace(chr(92), '%5C')}" if options else "")
    )

    assert wechat.run("sync") == 0
    wechat.account.unfollow(openids[1])
    assert wechat.run("sync") == 0
    for command in (["status"], ["runs"], ["quota"], ["unfollows"], ["plan"], ["migrate"]):
        assert wechat.run(*command) == 0, command
    assert wechat.run("doctor", "--offline") == 0
    assert "internal error" not in capsys.readouterr().err

    for variable in ("PGOPTIONS", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ"):
        monkeypatch.delenv(variable, raising=False)
    stored = """SELECT nickname, extract(epoch FROM subscribe_time)::bigint
        FROM followers WHERE openid = :openid"""
    assert query(stored, openid=openids[0]) == [("大王🐯 \\ 'x'", 1_700_000_000)]
    assert query(COUNTS) == [(300, 300, 299)]
    assert query("SELECT count(*) FROM runs WHERE finished_at < now() + interval '1 h'") == [(2,)]


def test_what_others_left_in_a_shared_session_changes_nothing(
    serve: Serve, postgresql_server: str, query: Query, database_url: str
) -> None:
    """Another program uses SET behind a pooler: that mistake does not affect us."""
    wechat = serve(100, page_size=50)
    with Pooler(postgresql_server, default_pool_size=1) as pooler:
        url = pooler.url(database_url)
        with connect(url) as other:
            for name in ("DateStyle", "IntervalStyle", "default_transaction_isolation"):
                other.execute(f"SET {name} = '{ODD[name]}'".encode())
            wechat.set(SYNCJOB_DATABASE_URL=url)
            for command in (["sync"], ["status"], ["doctor", "--offline"]):
                assert wechat.run(*command) == 0
            shown = other.execute("SHOW IntervalStyle").fetchone()
            assert shown == ("sql_standard",)
    assert query(COUNTS) == [(100, 100, 100)]


def test_the_job_needs_no_right_to_create_temporary_tables(
    serve: Serve, query: Query, database_url: str
) -> None:
    """It writes to its own tables only."""
    name = make_url(database_url).database
    role = f"without_{name}"
    query(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    query(f"CREATE ROLE {role} LOGIN")
    query(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    wechat = serve(50)
    wechat.set(SYNCJOB_DATABASE_URL=database_url.replace("postgres:@", f"{role}@"))
    try:
        assert wechat.run("sync") == 0
        assert wechat.run("doctor", "--offline") == 0
    finally:
        query(f"DROP OWNED BY {role}")
        query(f"DROP ROLE {role}")
    assert query(COUNTS) == [(50, 50, 50)]
