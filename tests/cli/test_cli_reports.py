"""`status` and `runs`: words for a person, JSON for a machine, an exit code for a monitor."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import World

Query = Callable[..., list[Any]]


@pytest.fixture
def ready(serve: Callable[..., World], sqlite_url: str) -> Callable[..., World]:
    """A served WeChat and a fresh SQLite file."""

    def start(followers: int = 250, **switches: Any) -> World:
        wechat = serve(followers, page_size=100, **switches)
        wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_SWEEP_EVERY="0")
        return wechat

    return start


def report_of(wechat: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return what the command prints as JSON."""
    capsys.readouterr()
    wechat.run(*arguments, "--json")
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (["status"], "No run yet. Start with: syncjob sync\n"),
        (["status", "--json"], "{}\n"),
        (["runs"], "No run yet. Start with: syncjob sync\n"),
        (["runs", "--json"], "[]\n"),
    ],
)
@pytest.mark.parametrize("appid", ["", "wx0"])
def test_before_the_first_run_status_and_runs_say_so(
    ready: Callable[..., World],
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    printed: str,
    appid: str,
) -> None:
    """In a fresh database both say so and end with 0, whether or not an AppID is set."""
    wechat = ready()
    wechat.set(SYNCJOB_APPID=appid)
    assert wechat.run(*command) == 0
    assert capsys.readouterr().out == printed
    assert wechat.simulator.counts == {}


def test_looking_needs_no_secret_and_asks_wechat_nothing(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing but the database set, the only account there is is shown."""
    wechat = ready(3)
    wechat.run("sync")
    calls = wechat.simulator.counts
    wechat.set(SYNCJOB_APPID="", SYNCJOB_APPSECRET="", SYNCJOB_API_URL="nonsense")
    for command in ("status", "runs"):
        assert wechat.run(command) == 0
    assert wechat.simulator.appid in capsys.readouterr().out
    assert wechat.simulator.counts == calls


def test_of_several_accounts_one_must_be_named(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str], serve: Callable[..., World]
) -> None:
    """Without SYNCJOB_APPID a database of two accounts ends with 2 and both AppIDs."""
    first = ready(3)
    first.run("sync")
    second = serve(5, seed=2)
    second.run("sync")
    appids = sorted((first.simulator.appid, second.simulator.appid))
    for command in ("status", "runs"):
        second.set(SYNCJOB_APPID="")
        assert second.run(command) == 2
        error = capsys.readouterr().err
        assert error.startswith("syncjob: SYNCJOB_APPID is not set")
        assert error.endswith(f"expected one of {', '.join(appids)}\n")
        second.set(SYNCJOB_APPID=first.simulator.appid)
        assert second.run(command) == 0
    assert report_of(second, capsys, "status")["followers"] == 3
    assert len(report_of(second, capsys, "runs")) == 1


def test_status_as_text(ready: Callable[..., World], capsys: pytest.CaptureFixture[str]) -> None:
    """The words begin with the last success, and hold followers, sweep and run."""
    wechat = ready(250)
    wechat.run("sync")
    assert wechat.run("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"last success +\d+ s ago \(\d{4}-\d\d-\d\d \d\d:\d\d UTC\)", lines[0])
    assert re.match(r"last run +sync #1 of .* succeeded after \d+ s: 3 pages, 250 new", lines[1])
    text = "\n".join(lines)
    assert re.search(r"account +" + wechat.simulator.appid, text)
    assert re.search(r"followers +250 \(250 subscribed, 0 unenriched", text)
    assert re.search(r"sweep +complete at .*: 3 pages, 250 listed, WeChat said 250", text)


def test_status_as_json(ready: Callable[..., World], capsys: pytest.CaptureFixture[str]) -> None:
    """--json is one object with stable keys, instants with a time zone, and no OpenID."""
    wechat = ready(250)
    wechat.run("sync")
    found = report_of(wechat, capsys, "status")
    assert found.keys() >= {
        "appid",
        "as_of",
        "last_success_at",
        "last_success_age_seconds",
        "followers",
        "subscribed",
        "unenriched",
        "quarantined",
        "backfill_started_at",
        "backfill_finished_at",
        "open_sweep",
        "last_sealed_sweep",
        "running",
        "last_run",
    }
    assert (found["followers"], found["subscribed"], found["unenriched"]) == (250, 250, 0)
    assert 0 <= found["last_success_age_seconds"] < 60
    assert datetime.fromisoformat(found["as_of"]).utcoffset() == timedelta(0)
    assert found["open_sweep"] is None
    assert found["last_sealed_sweep"]["pages"] == 3
    assert found["last_sealed_sweep"]["share_done"] == 1
    assert found["last_run"]["status"] == "succeeded"
    assert not re.search(r"\bo[A-Za-z0-9_-]{27}", json.dumps(found))


def test_status_shows_the_open_sweep_and_the_failure(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """After a run that stopped in mid-list: exit 1, the cursor's page, the share done, the cure."""
    wechat = ready(250)
    wechat.simulator.faults.add("user/get=45009@3")
    wechat.run("sync")
    capsys.readouterr()

    assert wechat.run("status") == 1
    words = capsys.readouterr().out
    assert re.match("last success +never\n", words)
    assert "page 2 stored, 200 of 250 listed (80%); the next run goes on" in words
    assert "45009" in words
    assert "tomorrow" in words

    assert wechat.run("status", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["open_sweep"]["pages"], found["open_sweep"]["share_done"]) == (2, 0.8)
    assert found["last_success_at"] is found["last_success_age_seconds"] is None
    run = found["last_run"]
    assert (run["status"], run["errcode"]) == ("failed", 45009)
    assert run["rid"]
    for openid in wechat.account.openids():
        assert openid not in json.dumps(found) + words

    wechat.simulator.faults.clear()
    wechat.run("sync")
    assert wechat.run("status") == 0


@pytest.mark.parametrize(
    ("status", "finished", "code"),
    [
        ("succeeded", True, 0),
        ("failed", True, 1),
        ("abandoned", True, 1),
        ("interrupted", True, 0),
        ("running", False, 0),
    ],
)
def test_the_exit_code_is_that_of_the_last_finished_run(
    ready: Callable[..., World], sqlite_query: Query, status: str, finished: bool, code: int
) -> None:
    """1 if the last run failed or died; a run that a signal stopped goes on by itself."""
    wechat = ready(3)
    wechat.run("sync")
    finished_at = "finished_at" if finished else "NULL"
    sqlite_query(f"UPDATE runs SET status = '{status}', finished_at = {finished_at}")
    assert wechat.run("status") == wechat.run("status", "--json") == code


def test_a_running_run_does_not_hide_the_last_failure(
    ready: Callable[..., World], sqlite_query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """During a run, the exit code and the last run are those of the one before."""
    wechat = ready(3)
    wechat.simulator.faults.add("user/get=48001@1")
    wechat.run("sync")
    wechat.run("sync")
    sqlite_query("UPDATE runs SET status = 'running', finished_at = NULL WHERE id = 2")
    assert wechat.run("status") == 1
    words = capsys.readouterr().out
    assert re.search(r"^running +sync #2 since ", words, re.MULTILINE)
    assert re.search(r"^last run +sync #1 of .* failed", words, re.MULTILINE)


def test_runs_are_shown_the_newest_first(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has a row a run and what went wrong below it; --limit keeps the newest."""
    wechat = ready(250)
    wechat.simulator.faults.add("user/get=48001@1")
    for command in ("sync", "backfill", "sync"):
        wechat.run(command)
    capsys.readouterr()

    assert wechat.run("runs") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["run", "command"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["3", "sync"],
        ["2", "backfill"],
        ["1", "sync"],
    ]
    assert "48001" in lines[4]
    assert "rid" in lines[4]
    assert len(lines) == 5

    assert wechat.run("runs", "--limit", "1") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["run", "3"]


def test_idle_runs_are_left_out_of_the_history(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless --all is given; the limit counts what is shown, and how many are not is said."""
    wechat = world(5)
    wechat.set(SYNCJOB_SWEEP_EVERY="30d")
    assert wechat.run("sync") == 0
    for _ in range(3):
        assert wechat.run("sync") == 0
    wechat.simulator.faults.add("user/get=48001")
    assert wechat.run("sync", "--now") == 3
    wechat.simulator.faults.clear()
    assert wechat.run("sync") == 0  # goes on with the sweep
    assert wechat.run("sync") == 0

    def shown(*options: str) -> tuple[list[int], list[int], str]:
        capsys.readouterr()
        assert wechat.run("runs", *options) == 0
        lines = capsys.readouterr().out.splitlines()
        ids = [int(line.split()[0]) for line in lines[1:] if line.split()[0].isdigit()]
        return ids, [run["id"] for run in report_of(wechat, capsys, "runs", *options)], lines[-1]

    ids, as_json, last = shown()
    assert ids == as_json == [6, 5, 1]
    assert last == "Not shown: 4 idle, which had nothing to do (syncjob runs --all)."
    ids, as_json, last = shown("--limit", "2")
    assert ids == as_json == [6, 5]
    assert last.startswith("Not shown: 1 idle")
    ids, as_json, last = shown("--all")
    assert ids == as_json == [7, 6, 5, 4, 3, 2, 1]
    assert "Not shown" not in last
    ids, as_json, last = shown("--failed")
    assert ids == as_json == [5]
    assert "48001" in last
    ids, as_json, last = shown("--all", "--limit", "2")
    assert ids == as_json == [7, 6]


def test_runs_failed_without_a_failure_says_so(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Words for a person, an empty array for a machine."""
    wechat = ready(5)
    assert wechat.run("sync") == 0
    assert wechat.run("runs", "--failed") == 0
    assert capsys.readouterr().out == "No run has failed.\n"
    assert report_of(wechat, capsys, "runs", "--failed") == []


def test_runs_as_json(ready: Callable[..., World], capsys: pytest.CaptureFixture[str]) -> None:
    """--json is an array with every count of a run, and no OpenID, token or secret."""
    wechat = ready(250)
    wechat.simulator.faults.add("user/info/batchget=40003@1")
    wechat.simulator.faults.add("user/get=-1@2")
    wechat.run("sync")
    wechat.run("sync")
    found = report_of(wechat, capsys, "runs")
    assert [run["id"] for run in found] == [2, 1]
    first = found[1]
    assert first.keys() >= {
        "id",
        "command",
        "status",
        "started_at",
        "heartbeat_at",
        "finished_at",
        "pages",
        "openids",
        "new",
        "returned",
        "enriched",
        "skipped",
        "calls",
        "retries",
        "errcode",
        "message",
        "rid",
    }
    assert (first["pages"], first["openids"], first["new"], first["enriched"]) == (3, 250, 250, 250)
    assert first["calls"] == sum(1 for _ in wechat.simulator.requests) - found[0]["calls"]
    assert first["retries"] == 1
    for instant in ("started_at", "heartbeat_at", "finished_at"):
        assert datetime.fromisoformat(first[instant]).utcoffset() == timedelta(0)
    printed = json.dumps(found)
    assert not re.search(r"\bo[A-Za-z0-9_-]{27}", printed)
    assert wechat.simulator.secret not in printed
    assert len(report_of(wechat, capsys, "runs", "--limit", "1")) == 1


@pytest.mark.parametrize(
    ("age_hours", "last_fails", "max_age", "code"),
    [(25, False, "26h", 0), (27, False, "26h", 1), (25, True, "26h", 0), (27, True, "2d", 0)],
)
def test_max_age_turns_an_old_success_into_an_exit_code(
    ready: Callable[..., World],
    sqlite_query: Query,
    age_hours: int,
    last_fails: bool,
    max_age: str,
    code: int,
) -> None:
    """Only its age decides, not how the last run ended."""
    wechat = ready()
    assert wechat.run("sync") == 0
    then = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=age_hours)
    sqlite_query("UPDATE runs SET finished_at = :at", at=str(then))
    if last_fails:
        wechat.simulator.faults.add("user/get=-1")
        assert wechat.run("sync") == 75
    assert wechat.run("status", "--max-age", max_age) == code


def test_max_age_without_a_success_fails(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first run, and when none has succeeded yet; a wrong age is said to be wrong."""
    wechat = ready()
    assert wechat.run("status", "--max-age", "1d") == 1
    wechat.simulator.faults.add("user/get=-1")
    assert wechat.run("sync") == 75
    assert wechat.run("status", "--max-age", "9999d") == 1
    for wrong in ("soon", "0", "-1d"):
        assert wechat.run("status", "--max-age", wrong) == 2
    assert "expected a time such as 12h or 1d" in capsys.readouterr().err
    assert wechat.run("status", "--max-age", "1d", "--at", "2026-01-01") == 2
