"""The metrics: what the database knows, in a file that is whole, however the run ended."""

import os
import re
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import World
from tests.job.test_runs import signal_at, start

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
FILE = Path("syncjob.prom")


def read(text: str) -> dict[tuple[str, ...], float]:
    """The samples by name and label values, the AppID left out."""
    return {
        (sample.name, *(value for name, value in sample.labels.items() if name != "appid")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def measured(wechat: World, code: int, *arguments: str) -> dict[tuple[str, ...], float]:
    """Run a command that ends with this code; return what its file says."""
    wechat.set(SYNCJOB_METRICS_FILE=str(FILE))
    FILE.unlink(missing_ok=True)
    assert wechat.run(*arguments) == code
    return read(FILE.read_text())


def test_a_run_writes_the_metrics_of_the_database(
    world: Callable[..., World], query: Query
) -> None:
    """Times, runs, rows, calls by errcode, quotas, people: as the tables have them."""
    wechat = world(250, page_size=100, daily_quota={"user/get": 500})
    wechat.simulator.faults.add("user/get=-1@2")
    wechat.simulator.faults.add("user/info/batchget=http-502@1")
    found = measured(wechat, 0, "sync")
    assert found["syncjob_followers", "true"] == 250
    assert found["syncjob_followers", "false"] == 0
    assert found["syncjob_rows_total", "new"] == found["syncjob_rows_total", "enriched"] == 250
    assert found["syncjob_unenriched",] == found["syncjob_quarantined",] == 0
    assert found["syncjob_runs_total", "succeeded"] == 1
    assert found["syncjob_last_run_exit_code",] == 0
    assert found["syncjob_sweep_openids",] == found["syncjob_sweep_expected_openids",] == 250
    assert found["syncjob_api_calls_total", "/cgi-bin/user/get", "0"] == 4
    assert found["syncjob_api_calls_total", "/cgi-bin/user/get", "-1"] == 1
    assert found["syncjob_api_calls_total", "/cgi-bin/user/info/batchget", "unanswered"] == 1
    assert found["syncjob_quota_daily_limit", "/cgi-bin/user/get"] == 500
    assert found["syncjob_quota_left", "/cgi-bin/user/get"] == 495
    ((calls,),) = query("SELECT calls FROM runs")
    assert calls == sum(n for key, n in found.items() if key[0] == "syncjob_api_calls_total")
    ended, read_at = found["syncjob_last_success_timestamp_seconds",], "syncjob_read_timestamp_"
    assert 0 <= found[f"{read_at}seconds",] - ended < 60
    assert 0 < found["syncjob_last_run_duration_seconds",] < 60


def test_the_counters_only_rise(world: Callable[..., World]) -> None:
    """Over the account's whole history, so that a rate can be taken of them."""
    wechat = world(150)
    first = measured(wechat, 0, "sync")
    wechat.simulator.faults.add("user/get=40164@3-")
    second = measured(wechat, 3, "backfill")
    counters = [key for key in first if key[0].endswith("_total")]
    assert len(counters) > 10
    assert all(second[key] >= first[key] for key in counters)
    assert second["syncjob_runs_total", "failed"] == 1
    assert second["syncjob_last_run_exit_code",] == 3
    assert second["syncjob_api_calls_total", "/cgi-bin/user/get", "40164"] == 1
    success = "syncjob_last_success_timestamp_seconds"
    assert second[success,] == first[success,]


def test_a_wave_of_unfollows_and_a_used_up_quota_are_seen(world: Callable[..., World]) -> None:
    """Parked people, and a quota of which nothing is left."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    measured(wechat, 0, "sync")
    for index in range(200):
        wechat.account.unfollow(wechat.account.openid(index))
    parked = measured(wechat, 6, "sync")
    assert parked["syncjob_unfollows_parked",] == parked["syncjob_unfollow_candidates",] == 200
    wechat.simulator.faults.add("user/get=45009")
    assert measured(wechat, 75, "sync")["syncjob_quota_left", "/cgi-bin/user/get"] == 0


def test_the_command_prints_what_the_file_has(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """For who collects in another way; asks WeChat nothing."""
    wechat = world(20)
    in_file = measured(wechat, 0, "sync")
    calls = sum(wechat.simulator.counts.values())
    capsys.readouterr()
    assert wechat.run("metrics") == 0
    printed = read(capsys.readouterr().out)
    in_file.pop(("syncjob_read_timestamp_seconds",))
    printed.pop(("syncjob_read_timestamp_seconds",))
    assert printed == in_file
    assert sum(wechat.simulator.counts.values()) == calls


def test_before_the_first_run_there_is_nothing_to_print(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """And that is said where no collector reads."""
    assert world(1).run("metrics") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "No run yet" in said.err


def test_everybody_may_read_the_file_whatever_the_umask(world: Callable[..., World]) -> None:
    """The collector is another user; no draft is left beside it."""
    before = os.umask(0o077)
    try:
        measured(world(5), 0, "sync")
    finally:
        os.umask(before)
    assert stat.S_IMODE(FILE.stat().st_mode) == 0o644
    assert [path.name for path in Path().iterdir() if "prom" in path.name] == [FILE.name]


def test_a_stopped_run_writes_metrics_too(world: Callable[..., World]) -> None:
    """With what it had done until then."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_METRICS_FILE=str(FILE), SYNCJOB_CONCURRENCY="1")
    process: list[Any] = []
    signal_at(wechat, "user/info/batchget", 2, signal.SIGTERM, process)
    process.append(start("sync"))
    process[0].communicate(timeout=30)
    assert process[0].returncode == 75
    assert read(FILE.read_text())["syncjob_runs_total", "interrupted"] == 1


def test_a_file_that_cannot_be_written_changes_nothing_else(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """The run ends as it ended; one line says why there are no metrics."""
    wechat = world(5)
    wechat.set(SYNCJOB_METRICS_FILE="missing/syncjob.prom")
    assert wechat.run("sync") == 0
    assert "missing/syncjob.prom reason=No such file" in capsys.readouterr().err


def test_a_database_that_fails_leaves_the_file_as_it_was(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written is read from it; its age says so."""
    wechat = world(5)
    measured(wechat, 0, "sync")
    before = FILE.read_text()
    query("ALTER TABLE call_totals RENAME TO elsewhere")
    assert wechat.run("sync") == 4
    assert FILE.read_text() == before
    assert "the database lacks call_totals" in capsys.readouterr().err


def test_a_metrics_file_that_the_collector_ignores_is_refused(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is touched."""
    wechat = world(5)
    wechat.set(SYNCJOB_METRICS_FILE="/tmp/syncjob.txt")
    assert wechat.run("sync") == 2
    assert "expected a path that ends with .prom" in capsys.readouterr().err
    assert sum(wechat.simulator.counts.values()) == 0


def test_without_prometheus_client_the_error_says_how_to_install_it(
    world: Callable[..., World],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only who wants metrics needs it."""
    wechat = world(5)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert wechat.run("sync") == 0
    assert wechat.run("metrics") == 2
    wechat.set(SYNCJOB_METRICS_FILE="a.prom")
    assert wechat.run("sync") == 2
    assert capsys.readouterr().err.count("syncjob[metrics]") == 2
    assert wechat.run("doctor", "--offline") == 1
    assert re.search(r"fault +metrics .*prometheus-client", capsys.readouterr().out)


def test_a_database_that_ended_the_run_is_not_waited_for_once_more(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file stays as it was, and nothing is said of it beside why the run ended."""
    wechat = world(5)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    measured(wechat, 0, "sync")
    before = FILE.read_text()
    query("ALTER TABLE unfollow_candidates RENAME TO elsewhere")
    assert wechat.run("sync") == 4
    assert FILE.read_text() == before
    assert "metrics" not in capsys.readouterr().err
