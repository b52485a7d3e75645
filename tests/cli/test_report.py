"""The report of a run: valid by its schema, and true, however the run ended."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import World
from tests.job.test_runs import signal_at

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
SCHEMA = json.loads(files("syncjob.cli").joinpath("report.schema.json").read_text("utf-8"))
FILE = Path("report.json")


def valid(report: Any) -> Any:
    """Return it if it is as the schema says."""
    jsonschema.validate(
        report, SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return report


def reported(wechat: World, code: int, *arguments: str) -> Any:
    """Run a command that ends with this code; return its report."""
    FILE.unlink(missing_ok=True)
    assert wechat.run(*arguments, "--report", str(FILE)) == code
    report = valid(json.loads(FILE.read_text()))
    assert report["exit_code"] == code
    return report


def assert_is_the_row(report: Any, query: Query) -> None:
    """The row in `runs` says the same."""
    names = [name for name in SCHEMA["properties"] if name in report]
    columns = {"id", "command", "status", "exit_code", "pages", "openids", "new", "returned"}
    columns |= {"enriched", "skipped", "unfollowed", "lagging", "calls", "retries", "errcode"}
    columns |= {"message", "rid"}
    chosen = [name for name in names if name in columns]
    rows = query(f"SELECT {', '.join(chosen)} FROM runs WHERE id = :id", id=report["id"])
    assert rows == [tuple(report[name] for name in chosen)]


def test_a_run_that_succeeded_is_reported(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it did, as its row and `runs --json` have it."""
    wechat = world(250, page_size=100)
    report = reported(wechat, 0, "sync")
    assert (report["status"], report["new"], report["enriched"]) == ("succeeded", 250, 250)
    assert report["calls_by_api"]["/cgi-bin/user/get"] == 4
    assert sum(report["calls_by_api"].values()) == report["calls"]
    assert report["appid"] == wechat.simulator.appid
    assert_is_the_row(report, query)
    capsys.readouterr()
    assert wechat.run("runs", "--json") == 0
    assert [valid(run) for run in json.loads(capsys.readouterr().out)] == [report]
    assert FILE.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in Path().iterdir()] == [FILE.name]


FAULTS = {"user/get=12345": 1, "stable_token=40125": 3, "user/get=45009": 75, "user/get=-1": 75}


@pytest.mark.parametrize(("fault", "code"), FAULTS.items())
def test_a_run_that_failed_is_reported_with_what_ended_it(
    world: Callable[..., World], query: Query, fault: str, code: int
) -> None:
    """The errcode, the message with its cure, and the rid."""
    wechat = world(50)
    wechat.simulator.faults.add(fault)
    report = reported(wechat, code, "backfill")
    assert (report["status"], report["command"]) == ("failed", "backfill")
    assert str(report["errcode"]) in fault
    assert report["message"]
    assert_is_the_row(report, query)


def test_parked_unfollows_are_reported(world: Callable[..., World], query: Query) -> None:
    """Exit code 6, and the way on."""
    wechat = world(400, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    wechat.run("sync")
    for index in range(200):
        wechat.account.unfollow(wechat.account.openid(index))
    report = reported(wechat, 6, "sync")
    assert "syncjob unfollows" in report["message"]
    assert_is_the_row(report, query)


def test_a_run_that_was_refused_has_no_id(world: Callable[..., World], query: Query) -> None:
    """Settings, a database without tables, another run in progress: there is a report of each."""
    wechat = world(50)
    wechat.set(SYNCJOB_LANG="fr")
    report = reported(wechat, 2, "sync")
    assert (report["status"], report["id"], report["appid"]) == ("refused", None, None)
    assert "SYNCJOB_LANG" in report["message"]
    wechat.set(SYNCJOB_LANG="en")
    assert wechat.run("sync") == 0

    query("UPDATE runs SET status = 'running', finished_at = NULL, holder = 'elsewhere'")
    report = reported(wechat, 75, "sync")
    assert (report["status"], report["id"]) == ("refused", None)
    assert "another run" in report["message"]
    query("DROP VIEW daily_api_calls")
    query("UPDATE syncjob_version SET version_num = '0001'")
    assert reported(wechat, 4, "sync")["appid"] == wechat.simulator.appid


def test_an_interrupted_run_is_reported(world: Callable[..., World], query: Query) -> None:
    """SIGTERM: the report is there when the process has ended."""
    wechat = world(2300, page_size=1000)
    wechat.simulator.faults.add("user/info/batchget=hang@5")
    process: list[Any] = []
    signal_at(wechat, "user/info/batchget", 5, signal.SIGTERM, process)
    command = [sys.executable, "-m", "syncjob", "sync", "--report", str(FILE)]
    process.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    assert process[0].wait(30) == 75
    report = valid(json.loads(FILE.read_text()))
    assert (report["status"], report["exit_code"], report["message"]) == (
        "interrupted",
        75,
        "SIGTERM",
    )
    assert_is_the_row(report, query)


def test_a_run_that_lost_its_row_is_reported_as_abandoned(
    world: Callable[..., World], query: Query
) -> None:
    """Its row is another's now."""
    wechat = world(500, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    wechat.simulator.on_request = lambda request: (
        request.endpoint == "user/get"
        and query("UPDATE runs SET status = 'abandoned', finished_at = started_at")
    )
    report = reported(wechat, 75, "sync")
    assert (report["status"], report["id"]) == ("abandoned", 1)


def test_a_run_that_died_is_valid_in_the_history(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that was killed, and one that is running, have no exit code."""
    wechat = world(50)
    assert wechat.run("sync") == 0
    query("UPDATE runs SET status = 'abandoned', exit_code = NULL")
    capsys.readouterr()
    assert wechat.run("runs", "--json") == 0
    (died,) = json.loads(capsys.readouterr().out)
    assert valid(died)["exit_code"] is None
    query("UPDATE runs SET status = 'running', finished_at = NULL, holder = 'elsewhere'")
    assert wechat.run("status", "--json") == 0
    assert valid(json.loads(capsys.readouterr().out)["running"])["seconds"] is None


def test_a_bug_is_reported_too(
    world: Callable[..., World], query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what it is, without what it may have held."""
    wechat = world(50)

    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr("syncjob.wechat.client.WeChatClient.get_followers", broken)
    report = reported(wechat, 1, "sync")
    assert report["message"].startswith("internal error: ZeroDivisionError at ")
    assert_is_the_row(report, query)


def test_a_report_that_cannot_be_written_is_refused_before_the_run(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was touched."""
    wechat = world(50)
    for path in ("no/such/report.json", "/proc/report.json"):
        assert wechat.run("sync", "--report", path) == 2
        assert "cannot be written" in capsys.readouterr().err
    assert wechat.simulator.counts == {}


def test_a_report_that_cannot_be_written_in_the_end_hides_nothing(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is the run's, and a line says what is missing."""
    wechat = world(50)
    wechat.simulator.on_request = lambda request: FILE.is_dir() or FILE.mkdir()
    assert wechat.run("sync", "--report", str(FILE)) == 0
    assert "The report could not be written. file=report.json" in capsys.readouterr().err
    FILE.rmdir()
    wechat.simulator.faults.add("stable_token=40125")
    wechat.simulator.faults.add("user/get=48001")
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync", "--report", str(FILE)) == 3
    assert [path.name for path in Path().iterdir()] == [FILE.name]
