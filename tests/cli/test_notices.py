"""Notices of failures: one for each change of state, by each channel for itself."""

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import World
from tests.job.test_runs import signal_at, start
from tests.loopback import answering
from tests.notices import NOTICES, WRITE_DOWN, Operator, events

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
UNCERTIFIED, LIMITED, UNKNOWN, BUSY = (f"user/get={code}" for code in (48001, 50002, 12345, -1))


@pytest.fixture
def operator(world: Callable[..., World]) -> Operator:
    """An operator who is notified by a command, of runs on each of the databases."""
    return Operator(world(5))


def test_each_change_of_state_is_notified_once(operator: Operator, query: Query) -> None:
    """A failure at its first run, another one when it comes, and the recovery; nothing else."""
    notice = [
        events(operator.after(fault, code))
        for fault, code in (
            (None, 0),
            (UNCERTIFIED, 3),
            (UNCERTIFIED, 3),
            (UNCERTIFIED, 3),
            (LIMITED, 3),
            (LIMITED, 3),
            (UNKNOWN, 1),
            (None, 0),
            (None, 0),
            (UNCERTIFIED, 3),
        )
    ]
    assert notice == [
        [],
        [("failed", 3, 48001)],
        [],
        [],
        [("failed", 3, 50002)],
        [],
        [("failed", 1, 12345)],
        [("recovered", 0, None)],
        [],
        [("failed", 3, 48001)],
    ]
    assert query("SELECT channel, state FROM notices") == [("command", "3:48001")]


def test_a_notice_says_what_happened_and_what_to_do(operator: Operator) -> None:
    """Which account, machine and run; the message with its cure; when a run last succeeded."""
    operator.after(None, 0)
    (notice,) = operator.after(UNCERTIFIED, 3, "backfill")
    appid = operator.wechat.simulator.appid
    assert (notice["schema_version"], notice["appid"], notice["run"]) == (1, appid, 2)
    assert (notice["command"], notice["host"] != "") == ("backfill", True)
    assert notice["last_success_at"]
    assert notice["rid"] in notice["message"]
    first, second, third, fourth = notice["text"].splitlines()
    assert first.startswith(f"syncjob: {appid} failed (backfill on ")
    assert second == notice["message"]
    assert "it must be certified" in second
    assert third.startswith("last success: ")
    assert " ago (" in third
    assert "syncjob status" in fourth

    (notice,) = operator.after(None, 0)
    assert notice["text"].startswith(f"syncjob: {appid} recovered (sync on ")
    assert "it had failed with exit code 3, errcode 48001" in notice["text"]


def test_a_notice_says_that_the_account_never_succeeded(operator: Operator) -> None:
    """The first run of all may be the one that fails."""
    (notice,) = operator.after(UNCERTIFIED, 3)
    assert "last success: never" in notice["text"]
    assert notice["last_success_at"] is None


def test_exit_code_75_is_notified_after_three_runs_in_a_row(operator: Operator) -> None:
    """And not again while the reasons change; then the recovery."""
    assert operator.after(BUSY, 75) == []
    assert operator.after(BUSY, 75) == []
    assert events(operator.after(BUSY, 75)) == [("failed", 75, -1)]
    assert operator.after("user/get=html", 75) == []
    assert events(operator.after(None, 0)) == [("recovered", 0, None)]


def test_exit_code_75_that_passes_sends_no_notice(operator: Operator) -> None:
    """Two of them, a success, and two more: silence."""
    for fault, code in ((BUSY, 75), (BUSY, 75), (None, 0), (BUSY, 75), (BUSY, 75), (None, 0)):
        assert operator.after(fault, code) == []


def test_exit_code_75_keeps_the_state_of_an_earlier_failure(operator: Operator) -> None:
    """A failure that was notified before a busy hour is not notified again after it."""
    assert events(operator.after(UNCERTIFIED, 3)) == [("failed", 3, 48001)]
    assert operator.after(BUSY, 75) == []
    assert operator.after(UNCERTIFIED, 3) == []


def test_parked_unfollows_are_notified(world: Callable[..., World]) -> None:
    """Exit code 6 wants a person like any other."""
    operator = Operator(world(400, page_size=100))
    operator.after(None, 0)
    account = operator.wechat.account
    for index in range(200):
        account.unfollow(account.openid(index))
    assert events(operator.after(None, 6)) == [("failed", 6, None)]
    assert operator.after(None, 6) == []


def test_another_running_run_sends_no_notice(operator: Operator, query: Query) -> None:
    """However often one is refused for it; the state stays what it was."""
    operator.after(UNCERTIFIED, 3)
    query(
        "INSERT INTO runs (account_id, command, status, holder) "
        "VALUES (1, 'sync', 'running', 'elsewhere')"
    )
    for _ in range(4):
        assert operator.after(None, 75) == []
    query("UPDATE runs SET status = 'abandoned', finished_at = started_at WHERE holder='elsewhere'")
    assert events(operator.after(None, 0)) == [("recovered", 0, None)]


def test_a_run_that_lost_its_row_sends_no_notice(operator: Operator, query: Query) -> None:
    """The one that overtook it will say how the account fares."""
    operator.wechat.set(SYNCJOB_CONCURRENCY="1")
    operator.wechat.simulator.on_request = lambda request: (
        request.endpoint == "user/get"
        and query("UPDATE runs SET status = 'abandoned', finished_at = started_at")
    )
    assert operator.after(None, 75) == []
    assert query("SELECT * FROM notices") == []


def test_an_end_that_says_nothing_sends_no_pending_notice(operator: Operator, query: Query) -> None:
    """A pending notice of a lasting 75 is sent by the next run that ends with 75 itself."""
    operator.wechat.set(SYNCJOB_ON_FAILURE="false", SYNCJOB_CONCURRENCY="1")
    for _ in range(3):
        operator.after(BUSY, 75)
    operator.wechat.set(SYNCJOB_ON_FAILURE=WRITE_DOWN)
    operator.wechat.simulator.on_request = lambda request: (
        request.endpoint == "user/get"
        and query(
            "UPDATE runs SET status = 'abandoned', finished_at = started_at, exit_code = NULL "
            "WHERE status = 'running'"
        )
    )
    assert operator.after(None, 75) == []
    operator.wechat.simulator.on_request = None
    query("UPDATE runs SET status = 'running', finished_at = NULL, holder = 'x' WHERE id = 4")
    assert operator.after(None, 75) == []
    query("UPDATE runs SET status = 'abandoned', finished_at = started_at WHERE id = 4")
    assert events(operator.after(BUSY, 75)) == [("failed", 75, -1)]


def test_a_stopped_run_sends_no_notice(world: Callable[..., World], query: Query) -> None:
    """Nor do stopped runs count among the three that end with 75."""
    operator = Operator(world(2300, page_size=1000))
    operator.after(BUSY, 75)
    operator.wechat.simulator.faults.clear()
    operator.wechat.simulator.faults.add("user/info/batchget=hang")
    process: list[Any] = []
    signal_at(operator.wechat, "user/info/batchget", 1, signal.SIGTERM, process)
    process.append(start("sync"))
    assert process[0].wait(30) == 75
    process[0].communicate()
    operator.wechat.simulator.on_request = None
    assert query("SELECT exit_code FROM runs ORDER BY id") == [(75,), (75,)]
    assert operator.after(BUSY, 75) == []
    assert events(operator.after(BUSY, 75)) == [("failed", 75, -1)]


def test_a_dry_run_sends_no_notice(operator: Operator) -> None:
    """It is no run."""
    operator.wechat.set(SYNCJOB_DATABASE_URL="sqlite:///nowhere.db")
    assert operator.after(None, 4, "sync", "--dry-run") == []


def test_without_a_channel_nothing_is_sent(operator: Operator, query: Query) -> None:
    """No command, no webhook: no row, no file."""
    operator.wechat.set(SYNCJOB_ON_FAILURE="")
    assert operator.after(UNCERTIFIED, 3) == []
    assert query("SELECT * FROM notices") == []


def test_a_failed_channel_is_retried_at_the_next_run_and_blocks_no_other(
    operator: Operator, query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each remembers for itself what it has sent; the run ends as it would have."""
    with answering([b"ill"], status=500) as server:
        operator.wechat.set(SYNCJOB_WEBHOOK_URL=f"{server.url}/hook")
        assert len(operator.after(UNCERTIFIED, 3)) == 1
        assert query("SELECT channel, state FROM notices") == [("command", "3:48001")]
        said = capsys.readouterr().err
        assert "Could not send a notice. channel=webhook reason=127.0.0.1 answered HTTP 500" in said
        assert "\nsyncjob: WeChat " in said
        assert operator.after(UNCERTIFIED, 3) == []
        assert len(server.requests) == 2
    with answering([b""]) as server:
        operator.wechat.set(
            SYNCJOB_WEBHOOK_URL=f"{server.url}/hook", SYNCJOB_ON_FAILURE="sh -c 'exit 9'"
        )
        assert operator.after(UNCERTIFIED, 3) == []
        assert len(server.requests) == 1
        capsys.readouterr()
        assert operator.after(None, 0) == []
        assert len(server.requests) == 2
        said = capsys.readouterr().err
        assert "channel=command reason=the command ended with exit code 9" in said
    states = query("SELECT channel, state FROM notices ORDER BY channel")
    assert states == [("command", "3:48001"), ("webhook", "ok")]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/command --now", "the command was not found: /no/such/command"),
        ("/etc/passwd", "the command cannot be run: Permission denied"),
    ],
)
def test_a_command_that_cannot_be_run_is_said_to_be(
    operator: Operator, capsys: pytest.CaptureFixture[str], command: str, reason: str
) -> None:
    """In one line; the exit code is the run's."""
    operator.wechat.set(SYNCJOB_ON_FAILURE=command)
    assert operator.after(UNCERTIFIED, 3) == []
    assert capsys.readouterr().err.count(reason) == 1
    assert operator.after(None, 0) == []
    assert capsys.readouterr().err == "", "neither the failure nor its end was to be notified"


def test_a_bug_in_sending_notices_changes_nothing(
    operator: Operator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's exit code, its message, and one line that says no more than what broke."""

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("hunter2")

    monkeypatch.setattr("syncjob.notices.sending.state_after", broken)
    assert operator.after(UNCERTIFIED, 3) == []
    said = capsys.readouterr().err
    assert "Could not send a notice of how the run ended. reason=ZeroDivisionError\n" in said
    assert "must be certified" in said
    assert "hunter2" not in said
    assert operator.after(None, 0) == []


def test_a_signal_while_a_notice_is_sent_ends_only_that(operator: Operator) -> None:
    """The run had ended, and its exit code stays what it was."""
    slow = "sh -c 'cat > /dev/null; kill -TERM $PPID; exec sleep 60'"
    operator.wechat.set(SYNCJOB_ON_FAILURE=slow)
    operator.wechat.simulator.faults.add(UNCERTIFIED)
    done = subprocess.run(
        [sys.executable, "-m", "syncjob", "sync"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 3
    assert "Could not send a notice of how the run ended. reason=Interrupted\n" in done.stderr
    assert not NOTICES.exists()
