"""A run that had nothing to do: no success, no failure, and hardly a row read."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.cli.test_metrics import measured
from tests.conftest import World
from tests.notices import Operator, events

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
FOLLOWERS = 3000
RUNS = 4000


@pytest.fixture
def status(capsys: pytest.CaptureFixture[str]) -> Callable[[World], dict[str, Any]]:
    """What `status --json` says."""

    def ask(wechat: World) -> dict[str, Any]:
        capsys.readouterr()
        wechat.run("status", "--json")
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


def backdate(query: Query, span: timedelta) -> str:
    """Let all runs and sweeps have ended so long ago; return when."""
    then = str(datetime.now(UTC).replace(tzinfo=None, microsecond=0) - span)
    for table in ("runs", "sweeps"):
        query(f"UPDATE {table} SET started_at = :at, finished_at = :at", at=then)
    return then.replace(" ", "T")


def test_with_a_broken_secret_idle_runs_are_no_success(
    world: Callable[..., World],
    query: Query,
    status: Callable[[World], dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They end with 0 and say that they are idle; the last success is that of the last answer."""
    wechat = world(250, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    assert wechat.run("sync") == 0
    then = backdate(query, timedelta(hours=2))
    wechat.set(SYNCJOB_APPSECRET="wrong")
    for _ in range(3):
        assert wechat.run("sync") == 0
    found = status(wechat)
    assert found["last_success_at"].startswith(then)
    assert found["last_success_age_seconds"] >= 7200
    assert found["last_run"]["idle"] is True
    assert found["last_run"]["status"] == "succeeded"
    assert (found["last_asking_run"]["id"], found["last_asking_run"]["idle"]) == (1, False)
    assert wechat.run("status", "--max-age", "1h") == 1
    assert wechat.run("status", "--max-age", "3h") == 0
    assert wechat.run("status") == 0
    said = capsys.readouterr().out
    assert "idle: nothing was due, WeChat was not asked" in said
    assert "next sweep due 20" in said
    assert wechat.run("runs", "--all") == 0
    assert capsys.readouterr().out.count(" idle ") == 3
    sample = measured(wechat, 0, "sync")
    ended = datetime.fromisoformat(f"{then}+00:00").timestamp()
    assert sample["syncjob_last_success_timestamp_seconds",] == ended
    assert sample["syncjob_idle_runs_total",] == 4
    assert sample["syncjob_runs_total", "succeeded"] == 5
    assert sample["syncjob_last_run_idle",] == 1
    assert sample["syncjob_next_sweep_timestamp_seconds",] > ended + 6 * 86_400


def test_an_idle_run_does_not_cover_a_failure_up(
    world: Callable[..., World], query: Query, status: Callable[[World], dict[str, Any]]
) -> None:
    """`status`, its exit code and the metrics go on speaking of what failed."""
    wechat = world(50)
    assert wechat.run("sync") == 0
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_APPSECRET="wrong")
    wechat.simulator.faults.add("stable_token=40125")
    query("DELETE FROM access_tokens")
    assert wechat.run("sync") == 3
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    query("DELETE FROM sweeps WHERE status = 'open'")
    assert wechat.run("sync") == 0
    found = status(wechat)
    assert (found["last_run"]["idle"], found["last_asking_run"]["exit_code"]) == (True, 3)
    assert wechat.run("status") == 1
    assert measured(wechat, 0, "sync")["syncjob_last_run_exit_code",] == 3


def test_an_idle_run_neither_begins_nor_ends_a_failure(
    world: Callable[..., World], query: Query
) -> None:
    """No "ok again" notice is sent before WeChat has answered again."""
    operator = Operator(world(5))
    assert operator.after(None, 0) == []
    assert events(operator.after("user/get=48001", 3)) == [("failed", 3, 48001)]
    query("DELETE FROM sweeps WHERE status = 'open'")
    operator.wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    for _ in range(2):
        assert operator.after(None, 0) == []
    operator.wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert events(operator.after(None, 0)) == [("recovered", 0, None)]


def test_idle_runs_do_not_break_a_row_of_failures(
    world: Callable[..., World], query: Query
) -> None:
    """Three runs that end with 75 send a notice, whatever idle runs are between them."""
    operator = Operator(world(5))
    assert operator.after(None, 0) == []
    for news in ([], [], [("failed", 75, -1)]):
        operator.wechat.set(SYNCJOB_SWEEP_EVERY="0")
        assert events(operator.after("user/get=-1", 75)) == news
        query("DELETE FROM sweeps WHERE status = 'open'")
        operator.wechat.set(SYNCJOB_SWEEP_EVERY="7d")
        assert operator.after(None, 0) == []


def test_a_healthy_account_that_sweeps_once_a_week_is_no_fault(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor says that nothing was due; a dead timer is a fault all the same."""
    wechat = world(20)
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    assert wechat.run("sync") == 0
    backdate(query, timedelta(days=3))

    def success() -> str:
        capsys.readouterr()
        wechat.run("doctor", "--offline", "--json")
        found = json.loads(capsys.readouterr().out)["findings"]
        (level,) = (one["level"] for one in found if one["check"] == "success")
        return str(level)

    assert success() == "fault"
    assert wechat.run("sync") == 0
    assert success() == "ok"
    wechat.set(SYNCJOB_SWEEP_EVERY="1d")
    assert success() == "fault"


def test_the_log_and_status_say_when_the_next_sweep_is_due(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the same words: 5 % before SYNCJOB_SWEEP_EVERY is over, or with the next run."""
    wechat = world(20)
    wechat.set(SYNCJOB_SWEEP_EVERY="100m")
    assert wechat.run("sync") == 0
    then = datetime.fromisoformat(backdate(query, timedelta(minutes=50)))
    due = f"next sweep due {then + timedelta(minutes=95):%Y-%m-%d %H:%M} UTC"
    capsys.readouterr()
    assert wechat.run("-v", "sync") == 0
    assert f"It is not time for a new sweep yet: {due}." in capsys.readouterr().err
    assert wechat.run("status") == 0
    assert due in capsys.readouterr().out
    backdate(query, timedelta(minutes=96))
    assert wechat.run("status") == 0
    assert "next sweep due with the next run" in capsys.readouterr().out


# --- what is read -------------------------------------------------------------------------


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Collect what is executed on any database, with its parameters."""
    executed: list[tuple[str, Any]] = []

    def keep(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        executed.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", keep)
    try:
        yield executed
    finally:
        event.remove(Engine, "before_cursor_execute", keep)


def scans(path: str, executed: list[tuple[str, Any]]) -> list[str]:
    """Which of SQLite's plans read a whole table that grows with the account or its history."""
    connection = sqlite3.connect(path)
    found = []
    for statement, parameters in executed:
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            values = parameters[0] if isinstance(parameters, list) else parameters
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values):
                large = ("runs", "sweeps", "api_calls", "api_errors")
                # Of followers only who is due, one by their OpenID, or the first ones of an index:
                # an account is all of them.
                if "COVERING INDEX" in step and "ORDER BY followers.openid" in statement:
                    continue
                reads_all = re.search(r"(SCAN|SEARCH) (f|followers)\b", step) and not re.search(
                    r"unenriched_followers|openid=\?", step
                )
                if reads_all or any(f"SCAN {table}" in step for table in large):
                    found.append(f"{step}: {statement}")
    connection.close()
    return found


def read_rows(query: Query) -> dict[str, int]:
    """How many rows PostgreSQL has read of each table, once all sessions of ours have ended."""
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'syncjob%'"
    while query(f"{ours} AND datname = current_database()") != [(0,)]:
        pass
    return dict(
        query("SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables")
    )


def test_an_idle_run_reads_few_rows_however_large_the_account_and_its_history(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """Neither does `status`, nor what writes metrics: it goes by index, or by what is counted."""
    wechat = world(FOLLOWERS)
    wechat.set(SYNCJOB_SWEEP_EVERY="7d", SYNCJOB_CONCURRENCY="4")
    assert wechat.run("sync") == 0
    numbers = (
        "WITH RECURSIVE n(i, now) AS (SELECT 1, started_at FROM runs WHERE id = 1 "
        f"UNION ALL SELECT i + 1, now FROM n WHERE i < {RUNS})"
    )
    query(
        "INSERT INTO runs (account_id, command, status, finished_at, calls) "
        f"{numbers} SELECT 1, 'sync', 'succeeded', now, CASE i % 10 WHEN 0 THEN 3 ELSE 0 END FROM n"
    )
    query(
        "INSERT INTO sweeps (account_id, status, finished_at, pages) "
        f"{numbers} SELECT 1, 'sealed', now, 1 FROM n"
    )
    query(
        "INSERT INTO api_calls (day, cgi_path, run_id, calls) "
        "SELECT (SELECT min(day) FROM api_calls), '/x', id, 1 FROM runs WHERE id > 1"
    )
    query("UPDATE api_calls SET day = '2026-01-01' WHERE cgi_path = '/x'")
    measured(wechat, 0, "sync")  # counts once what the rows above have not
    commands = (("sync",), ("status",), ("metrics",), ("runs", "--limit", "5"))
    if database_url.startswith("sqlite"):
        with statements() as executed:
            for command in commands:
                assert wechat.run(*command) == 0
        assert len(executed) > 50
        assert scans(database_url.removeprefix("sqlite:///"), executed) == []
        return
    query("ANALYZE")
    before = read_rows(query)
    for command in commands:
        assert wechat.run(*command) == 0
    after = read_rows(query)
    grown = {table: after[table] - before[table] for table in after}
    assert grown["followers"] < 100
    few = {table: grown[table] < 1500 for table in ("runs", "sweeps", "api_calls", "api_errors")}
    assert all(few.values()), few


def test_whom_a_backfill_did_not_reach_is_asked_about_after_it(
    world: Callable[..., World], query: Query
) -> None:
    """Left out by WeChat then, found by the next run, though no backfill is under way any more."""
    wechat = world(150)
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    assert wechat.run("sync") == 0
    left_out = wechat.account.openid(7)
    wechat.account.forget(left_out)
    assert wechat.run("backfill") == 0
    due = "SELECT openid FROM followers WHERE enriched_at IS NULL"
    assert query(due) == [(left_out,)]
    wechat.account.cure(left_out)
    assert wechat.run("sync") == 0
    assert query(due) == []


def test_the_count_of_followers_is_that_of_the_tables(
    world: Callable[..., World], query: Query, status: Callable[[World], dict[str, Any]]
) -> None:
    """After a sync, an unfollow, a run that failed half-way, and idle runs."""
    wechat = world(250, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_MAX_DRIFT="1000")

    def check() -> None:
        found = status(wechat)
        ((everybody, subscribed),) = query(
            "SELECT count(*), count(*) FILTER (WHERE subscribe) FROM followers"
        )
        assert (found["followers"], found["subscribed"]) == (everybody, subscribed)

    wechat.simulator.faults.add("user/get=-1@2-")
    assert wechat.run("sync") == 75
    check()
    wechat.simulator.faults.clear()
    assert wechat.run("sync") == 0
    check()
    wechat.account.unfollow(wechat.account.openid(3))
    wechat.account.follow(20)
    assert wechat.run("sync") == 0
    check()
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    assert wechat.run("sync") == 0
    check()
    query("UPDATE runs SET followers = NULL, subscribed = NULL")
    check()
