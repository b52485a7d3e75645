"""Runs that are killed, stopped, or started twice: nothing lost, nothing doubled, all recorded."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncjob.job.job import Plan
from syncjob.job.loop import GROUP
from syncjob.job.process import is_dead, this_process
from syncjob.simulator import Request
from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth
from tests.processes import heeding_signals

Query = Callable[..., list[Any]]
SYNCJOB = [sys.executable, "-m", "syncjob"]


def start(*arguments: str, ignored: signal.Signals | None = None) -> "subprocess.Popen[str]":
    """Start the command as a process of its own."""
    return subprocess.Popen(
        heeding_signals([*SYNCJOB, *arguments], ignored=ignored),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def signal_at(wechat: World, endpoint: str, call: int, number: int, process: list[Any]) -> None:
    """Send the signal, once, when that call of the endpoint has come in and is not yet answered.

    Or one behind it: of calls that come in together, each may be counted before the first is seen.
    """
    once = threading.Lock()

    def send(request: Request) -> None:
        is_time = request.endpoint == endpoint and wechat.simulator.count(endpoint) >= call
        if is_time and process and once.acquire(blocking=False):
            os.kill(process[0].pid, number)

    wechat.simulator.on_request = send


def await_quiet(wechat: World) -> None:
    """Wait until calls of a process that is dead are not coming in any more."""
    pause, before = threading.Event(), None
    while before != wechat.simulator.counts:
        before = wechat.simulator.counts.copy()
        pause.wait(0.3)


def business_calls(wechat: World) -> int:
    """Count the calls that brought OpenIDs or profiles."""
    return wechat.simulator.count("user/get") + wechat.simulator.count("user/info/batchget")


@pytest.mark.one_database
@pytest.mark.parametrize("concurrency", [1, 8, 32])
@pytest.mark.parametrize("command", ["sync", "backfill"])
def test_killed_in_the_second_page_and_again_in_enrichment_it_repeats_next_to_nothing(
    world: Callable[..., World], database_url: str, query: Query, command: str, concurrency: int
) -> None:
    """kill -9 twice: two reruns end with the same tables; what was under way is asked twice."""
    wechat = world(2300, page_size=1000)
    wechat.set(SYNCJOB_CONCURRENCY=str(concurrency))
    underway = concurrency + GROUP // 100  # calls that are out, and answers that are not stored
    process: list[Any] = []

    signal_at(wechat, "user/get", 2, signal.SIGKILL, process)
    process.append(start(command))
    process[0].communicate()
    assert process.pop().returncode == -signal.SIGKILL
    # The second page is asked for while the first is being stored.
    assert query("SELECT status, pages FROM sweeps WHERE pages <= 1 AND status = 'open'")
    await_quiet(wechat)

    signal_at(wechat, "user/info/batchget", 7, signal.SIGKILL, process)
    process.append(start(command))
    process[0].communicate()
    assert process.pop().returncode == -signal.SIGKILL

    wechat.simulator.on_request = None
    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    assert 4 + 1 <= wechat.simulator.count("user/get") <= 4 + 2 * min(concurrency, 2)
    assert 23 <= wechat.simulator.count("user/info/batchget") <= 24 + 2 * underway
    assert wechat.simulator.count("stable_token") == 1
    assert query("SELECT status FROM runs ORDER BY id") == [
        ("abandoned",),
        ("abandoned",),
        ("succeeded",),
    ]
    assert query("SELECT status, pages, openids FROM sweeps") == [("sealed", 3, 2300)]
    assert query("SELECT count(*) FROM sweep_openids") == [(0,)]
    assert query("SELECT sum(new), sum(enriched) FROM runs") == [(2300, 2300)]


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_at_once_and_is_recorded(
    world: Callable[..., World], database_url: str, query: Query, number: int, concurrency: int
) -> None:
    """SIGTERM, Ctrl-C and a closed terminal leave a run `interrupted`, in the middle of a call.

    What was answered until then is stored.
    """
    wechat = world(2300, page_size=1000)
    wechat.set(SYNCJOB_CONCURRENCY=str(concurrency))
    wechat.simulator.faults.add("user/info/batchget=hang@5")
    process: list[Any] = []
    signal_at(wechat, "user/info/batchget", 5, number, process)
    process.append(start("sync"))
    try:
        _, stderr = process[0].communicate(timeout=10)
    except subprocess.TimeoutExpired:
        # Python heeds a signal between two steps: one that comes in the very moment before it
        # waits for an answer is heeded with the next one, or when the answer is overdue.
        process[0].send_signal(number)
        _, stderr = process[0].communicate(timeout=20)

    assert process[0].returncode == 75
    assert (
        stderr == f"syncjob: stopped by {signal.Signals(number).name}; nothing is lost, "
        "the next run goes on\n"
    )
    ((status, enriched, message),) = query("SELECT status, enriched, message FROM runs")
    assert (status, message) == ("interrupted", signal.Signals(number).name)
    assert enriched == 400 if concurrency == 1 else 0 <= enriched < 2300
    wechat.simulator.on_request = None
    assert wechat.run("status") == 0

    wechat.simulator.faults.clear()
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)


def test_of_two_runs_at_once_one_works_and_the_other_ends_with_75(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """While a run is alive another one touches nothing, whatever the database is."""
    wechat = world(300, page_size=100)
    others: list[int] = []

    def start_another(request: Request) -> None:
        if request.endpoint == "user/get" and not others:
            others.append(0)
            for command in ("sync", "backfill"):
                done = subprocess.run(
                    [*SYNCJOB, command], capture_output=True, text=True, timeout=20
                )
                assert "another run of this account is running" in done.stderr
                others.append(done.returncode)

    wechat.simulator.on_request = start_another
    assert wechat.run("sync") == 0

    assert others == [0, 75, 75]
    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT status FROM runs") == [("succeeded",)]
    assert wechat.simulator.count("stable_token") == 1


def test_a_run_that_was_declared_abandoned_writes_nothing_more(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that lost its row ends with 75, says why, and leaves no trace of what came after."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY="1")

    def abandon(request: Request) -> None:
        if request.endpoint == "user/get" and wechat.simulator.count("user/get") == 2:
            query("UPDATE runs SET status = 'abandoned', finished_at = started_at, message = 'old'")

    wechat.simulator.on_request = abandon
    assert wechat.run("sync") == 75

    assert "declared abandoned by another run" in capsys.readouterr().err
    assert query("SELECT count(*) FROM followers") == [(100,)]
    assert query("SELECT status, message, pages FROM runs") == [("abandoned", "old", 1)]
    assert query("SELECT status, pages FROM sweeps") == [("open", 1)]


def other_run(query: Query, holder: str | None, heartbeat_age: str) -> None:
    """Put the row of a run by somebody else into the table."""
    at = f"{heartbeat_age}"
    query(
        "INSERT INTO runs (account_id, command, status, started_at, heartbeat_at, holder) "
        f"SELECT id, 'sync', 'running', {at}, {at}, :holder FROM accounts",
        holder=holder,
    )


def ago(database_url: str, minutes: int) -> str:
    """An SQL expression for an instant in the past (or, negative, the future)."""
    if database_url.startswith("sqlite"):
        return f"datetime('now', '{-minutes} minutes')"
    return f"now() - interval '{minutes} minutes'"


@pytest.mark.parametrize("holder", [None, "host=elsewhere pid=1 start=1", "rubbish"])
def test_a_run_elsewhere_is_left_alone_while_its_heart_beats(
    world: Callable[..., World], database_url: str, query: Query, holder: str | None
) -> None:
    """A run whose process cannot be looked up is alive for as long as its heartbeat is young."""
    wechat = world(3)
    wechat.run("sync")
    other_run(query, holder, ago(database_url, 1))

    assert wechat.run("sync") == 75


@pytest.mark.parametrize("minutes", [10, -60 * 24])
def test_a_run_without_a_heartbeat_is_declared_abandoned(
    world: Callable[..., World], database_url: str, query: Query, minutes: int
) -> None:
    """A heartbeat that is minutes old, or of a day that has not come, is that of a dead run."""
    wechat = world(3)
    wechat.run("sync")
    other_run(query, "host=elsewhere pid=1 start=1", ago(database_url, minutes))

    assert wechat.run("sync") == 0
    assert query("SELECT status, message FROM runs ORDER BY id") == [
        ("succeeded", None),
        ("abandoned", "it gave no heartbeat any more"),
        ("succeeded", None),
    ]


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_heart_beats_while_a_call_hangs(
    world: Callable[..., World], query: Query, concurrency: int
) -> None:
    """A long call does not make a run look dead: its heartbeat is renewed in the meantime."""
    wechat = world(3)
    beats: set[Any] = set()

    def watch(request: Request) -> None:
        while request.endpoint == "user/get" and len(beats) < 3:
            beats.add(query("SELECT heartbeat_at FROM runs")[0])

    wechat.simulator.on_request = watch
    wechat.run_job(plan=Plan(concurrency=concurrency), beat_every=0.001)
    assert len(beats) == 3


def test_this_process_is_alive_and_a_reused_number_is_somebody_else() -> None:
    """The start time tells a process from a later one with the same number."""
    me = this_process()
    assert not is_dead(me)
    assert is_dead(me.rpartition("=")[0] + "=1")
    machine = me.partition(" pid=")[0]
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert is_dead(f"{machine} pid={done.pid} start=1")
    assert not is_dead(f"{machine}x pid={done.pid} start=1")


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_bug_is_recorded_and_ends_with_1(
    world: Callable[..., World],
    query: Query,
    concurrency: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unexpected exception ends with 1, one line, its place, and a failed run."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("oSECRET")

    monkeypatch.setattr("syncjob.wechat.client.WeChatClient.get_user_infos", broken)
    wechat = world(3)
    wechat.set(SYNCJOB_CONCURRENCY=str(concurrency))

    assert wechat.run("sync") == 1

    said = capsys.readouterr().err
    assert "internal error: KeyError at test_runs.py" in said
    assert "oSECRET" not in said
    ((status, message),) = query("SELECT status, message FROM runs")
    assert status == "failed"
    assert "KeyError" in message
    assert "oSECRET" not in message


# --- backfill -----------------------------------------------------------------------------


def test_a_backfill_lists_and_enriches_everybody_again(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """A backfill sweeps from the first page, though none is due, and renews every profile."""
    wechat = world(250, page_size=100)
    wechat.run("sync")
    for openid in wechat.account.openids():
        wechat.account.override(openid, remark="changed")

    assert wechat.run("backfill") == 0

    assert_equals_truth(database_url, wechat.simulator)
    assert wechat.simulator.count("user/get") == 4 * 2
    assert wechat.simulator.count("user/info/batchget") == 3 * 2
    assert query("SELECT command, enriched FROM runs ORDER BY id") == [
        ("sync", 250),
        ("backfill", 250),
    ]
    assert query("SELECT count(*) FROM accounts WHERE backfill_finished_at IS NULL") == [(0,)]


@pytest.mark.parametrize("goes_on_with", ["sync", "backfill"])
@pytest.mark.parametrize("endpoint", ["user/get", "user/info/batchget"])
def test_an_interrupted_backfill_goes_on(
    world: Callable[..., World], database_url: str, endpoint: str, goes_on_with: str
) -> None:
    """A backfill that was stopped goes on at the next backfill or sync, and asks nothing twice."""
    wechat = world(250, page_size=100)
    wechat.run("sync")
    before = business_calls(wechat)
    for openid in wechat.account.openids():
        wechat.account.override(openid, remark="changed")
    wechat.simulator.faults.add(f"{endpoint}=45009@{wechat.simulator.count(endpoint) + 2}")

    assert wechat.run("backfill") == 75
    assert wechat.run("status") == 1
    wechat.simulator.faults.clear()
    assert wechat.run(goes_on_with) == 0

    assert_equals_truth(database_url, wechat.simulator)
    refused = 1
    assert business_calls(wechat) == 2 * before + refused


def test_a_backfill_can_be_told_to_start_over(world: Callable[..., World], query: Query) -> None:
    """backfill --restart gives an unfinished backfill's sweep up and begins with page one."""
    wechat = world(250, page_size=100)
    wechat.simulator.faults.add("user/get=45009@3")
    assert wechat.run("backfill") == 75
    wechat.simulator.faults.clear()

    assert wechat.run("backfill", "--restart") == 0

    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("sealed",)]
    assert wechat.simulator.count("user/get") == 3 + 4


def test_a_backfill_gives_up_the_sweep_of_a_sync(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """A backfill begins with page one even if a sync has left a sweep half done."""
    wechat = world(250, page_size=100)
    wechat.simulator.faults.add("user/get=45009@3")
    assert wechat.run("sync") == 75
    wechat.simulator.faults.clear()

    assert wechat.run("backfill") == 0

    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("sealed",)]
    assert_equals_truth(database_url, wechat.simulator)


def test_a_clock_that_was_set_back_does_not_repeat_a_backfill(
    serve: Callable[..., World], sqlite_url: str, sqlite_query: Query
) -> None:
    """A backfill that seems to begin tomorrow still enriches everybody just once."""
    wechat = serve(250)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    wechat.run("sync")
    sqlite_query("UPDATE accounts SET backfill_started_at = datetime('now', '1 day')")

    assert wechat.run("sync") == 0
    assert wechat.run("sync") == 0

    assert sqlite_query("SELECT enriched FROM runs ORDER BY id") == [(250,), (250,), (0,)]


def test_a_file_of_the_database_is_for_its_owner_alone(
    serve: Callable[..., World], tmp_path: Path
) -> None:
    """A SQLite file that migrate creates can be read by nobody else."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///{tmp_path}/x.db")

    assert wechat.run("migrate") == 0

    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_status_tells_a_dead_run_from_a_live_one(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed run is still recorded as running; status sees that its process is gone."""
    wechat = world(300, page_size=100)
    process: list[Any] = []
    seen: list[str] = []

    def look_then_kill(request: Request) -> None:
        # The third page is here or stored; the fourth has the end of the list.
        if request.endpoint == "user/get" and wechat.simulator.count("user/get") == 4:
            done = subprocess.run([*SYNCJOB, "status"], capture_output=True, text=True, timeout=20)
            seen.append(done.stdout)
            os.kill(process[0].pid, signal.SIGKILL)

    wechat.simulator.on_request = look_then_kill
    process.append(start("sync"))
    process[0].communicate()

    assert "last heartbeat" in seen[0]
    assert "died" not in seen[0]
    stored = ("page 2 stored, 200 of 300 listed (67%)", "page 3 stored, 300 of 300 listed (100%)")
    assert any(words in seen[0] for words in stored)
    wechat.run("status")
    assert "its process died" in capsys.readouterr().out


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(
    world: Callable[..., World], query: Query
) -> None:
    """`nohup syncjob backfill &` outlives the terminal."""
    wechat = world(300, page_size=100)
    process: list[Any] = []
    signal_at(wechat, "user/get", 2, signal.SIGHUP, process)
    process.append(start("backfill", ignored=signal.SIGHUP))
    _, stderr = process[0].communicate(timeout=30)
    assert (process[0].returncode, stderr) == (0, "")
    assert query("SELECT status FROM runs") == [("succeeded",)]


def test_a_backfill_is_not_over_before_a_sweep_of_its_own_is_sealed(
    world: Callable[..., World], query: Query
) -> None:
    """While a broken list is left alone for a time, runs enrich and the backfill stays open."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="1d")
    assert wechat.run("sync") == 0
    wechat.simulator.switches.total_off = 250
    codes = [wechat.run("backfill"), wechat.run("sync"), wechat.run("sync"), wechat.run("sync")]

    assert codes == [75, 75, 75, 0]  # after three discarded sweeps in a row the list is left alone
    open_since = query("SELECT backfill_finished_at FROM accounts")
    assert open_since == [(None,)]

    wechat.simulator.switches.total_off = 0
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    assert query("SELECT count(*) FROM accounts WHERE backfill_finished_at IS NULL") == [(0,)]
