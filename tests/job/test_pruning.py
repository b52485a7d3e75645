"""Runs and sweeps of long ago are deleted, and nothing that anybody still needs goes with them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.test_metrics import measured, read
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]


def age(query: Query, days: float, *, up_to: int = 1_000_000) -> None:
    """Let the runs and sweeps up to that number have ended so many days ago."""
    then = str(datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days))
    for table in ("runs", "sweeps"):
        query(
            f"UPDATE {table} SET started_at = :at, finished_at = :at "
            "WHERE id <= :id AND finished_at IS NOT NULL",
            at=then,
            id=up_to,
        )
    query("UPDATE api_calls SET day = :day WHERE run_id <= :id", day=then[:10], id=up_to)


def ids(query: Query, table: str) -> list[int]:
    """The numbers of a table's rows."""
    return [row[0] for row in query(f"SELECT id FROM {table} ORDER BY id")]


def test_what_is_older_goes_and_the_counters_do_not_fall(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs with their calls and errors; the first sealed sweep stays, and so does the total."""
    wechat = world(120)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_KEEP_RUNS="30d")
    wechat.simulator.faults.add("user/info/batchget=http-502@1")
    for _ in range(5):
        assert wechat.run("sync") == 0
    age(query, 31, up_to=4)
    assert wechat.run("metrics") == 0
    before = read(capsys.readouterr().out)
    after = measured(wechat, 0, "sync")
    assert ids(query, "runs") == [5, 6]
    assert ids(query, "sweeps") == [1, 4, 5, 6]
    for table in ("api_calls", "api_errors"):
        assert query(f"SELECT count(*) FROM {table} WHERE run_id < 5") == [(0,)]
    counters = [key for key in before if key[0].endswith("_total")]
    assert len(counters) > 10
    assert all(after[key] >= before[key] for key in counters)
    assert after["syncjob_runs_total", "succeeded"] == 6
    assert after["syncjob_api_calls_total", "/cgi-bin/user/info/batchget", "unanswered"] == 1
    assert wechat.run("status", "--at", "2019-01-01") == 0
    assert "at least" in capsys.readouterr().out


def test_off_keeps_all(world: Callable[..., World], query: Query) -> None:
    """And the default keeps more than a year."""
    wechat = world(10)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    for _ in range(3):
        assert wechat.run("sync") == 0
    age(query, 399)
    assert wechat.run("sync") == 0
    wechat.set(SYNCJOB_KEEP_RUNS="off")
    age(query, 5000)
    assert wechat.run("sync") == 0
    assert ids(query, "runs") == [1, 2, 3, 4, 5]


def test_the_last_success_and_the_row_of_failures_stay(
    world: Callable[..., World], query: Query
) -> None:
    """However old; so the next run still probes, and `status` still knows."""
    wechat = world(10)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_KEEP_RUNS="1d", SYNCJOB_PROBE_AFTER="off")
    for _ in range(3):
        assert wechat.run("sync") == 0
    wechat.simulator.faults.add("user/get=48001")
    for _ in range(4):
        assert wechat.run("sync") == 3
    age(query, 500)
    assert wechat.run("sync") == 3
    assert ids(query, "runs") == [3, 6, 7, 8]
    ((finished_at,),) = query("SELECT max(finished_at) FROM runs WHERE status = 'succeeded'")
    sample = measured(wechat, 3, "sync")
    moment = datetime.fromisoformat(str(finished_at)).replace(tzinfo=UTC)
    assert sample["syncjob_last_success_timestamp_seconds",] == pytest.approx(moment.timestamp())


def test_an_open_sweep_and_the_calls_of_today_stay(
    world: Callable[..., World], query: Query
) -> None:
    """A quota is counted by them, whatever SYNCJOB_KEEP_RUNS says."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_KEEP_RUNS="1s", SYNCJOB_SWEEP_MAX_AGE="9999d")
    assert wechat.run("sync", "--max-pages", "1") == 0
    query("UPDATE sweeps SET started_at = '2026-01-01'")
    query("UPDATE runs SET started_at = started_at, heartbeat_at = heartbeat_at")
    for _ in range(3):
        wechat.run("sync", "--max-pages", "1")
    calls = sum(wechat.simulator.counts.values())
    ((counted,),) = query("SELECT sum(calls) FROM daily_api_calls")
    assert counted == calls
    assert len(ids(query, "runs")) == 4


def test_a_long_history_goes_in_steps_and_one_account_at_a_time(
    world: Callable[..., World], query: Query
) -> None:
    """Thousands of runs at once are many short transactions; another account's are its own."""
    wechat = world(10)
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    assert wechat.run("sync") == 0
    query("INSERT INTO accounts (appid) VALUES ('wxother')")
    query(
        "INSERT INTO runs (account_id, command, status, started_at, finished_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "SELECT 1 + i % 2, 'sync', 'succeeded', '2020-01-01', '2020-01-01' FROM n"
    )
    assert wechat.run("sync") == 0
    assert query("SELECT account_id, count(*) FROM runs GROUP BY account_id ORDER BY 1") == [
        (1, 2),
        (2, 1500),
    ]


def test_where_deleting_fails_the_run_has_still_succeeded(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so."""
    wechat = world(10)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_KEEP_RUNS="1d")
    for _ in range(2):
        assert wechat.run("sync") == 0
    age(query, 5)
    query("CREATE TABLE memories (run_id bigint REFERENCES runs (id))")
    query("INSERT INTO memories VALUES (1)")
    assert wechat.run("sync") == 0
    assert "Old runs could not be deleted." in capsys.readouterr().err
    assert ids(query, "runs") == [1, 2, 3]


@pytest.mark.parametrize("value", ["30", "soon", "0d", "-1d"])
def test_a_span_that_is_none_is_refused(
    world: Callable[..., World], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare number was meant as days, and would be seconds."""
    wechat = world(1)
    wechat.set(SYNCJOB_KEEP_RUNS=value)
    assert wechat.run("sync") == 2
    assert "expected off, or a time such as 400d" in capsys.readouterr().err
