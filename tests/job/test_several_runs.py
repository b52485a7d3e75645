"""Several processes at the same database: one runs, and who was overtaken writes nothing more."""

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from syncjob.simulator import Request
from tests.conftest import World
from tests.job.test_runs import SYNCJOB, ago, start
from tests.job.test_sync_job import assert_equals_truth

pytestmark = pytest.mark.pooled

Query = Callable[..., list[Any]]


def test_of_eight_that_start_in_the_same_second_one_runs(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """The other seven end with 75 and have touched nothing."""
    wechat = world(200, page_size=50)
    met = 0

    def wait_for_the_others(request: Request) -> None:
        nonlocal met
        if met == 0 and request.endpoint == "user/get":
            met = 1
            for process in processes:
                if process is not runner(processes):
                    process.wait(30)

    def runner(processes: list[Any]) -> Any:
        holders = query("SELECT holder FROM runs WHERE status = 'running'")
        return next(p for p in processes if f"pid={p.pid} " in f"{holders[0][0]} ")

    wechat.simulator.on_request = wait_for_the_others
    processes: list[Any] = []
    processes += [start("sync") for _ in range(8)]
    said = [process.communicate(timeout=60)[1] for process in processes]

    assert sorted(process.returncode for process in processes) == [0] + [75] * 7
    assert sum("another run of this account is running" in text for text in said) == 7
    assert query("SELECT status, openids, new FROM runs") == [("succeeded", 200, 200)]
    assert wechat.simulator.count("stable_token") == 1
    assert_equals_truth(database_url, wechat.simulator)


def test_who_was_suspended_and_overtaken_writes_nothing_when_it_wakes_up(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """SIGSTOP past its heartbeat: another run takes over; the first ends with 75 and says why."""
    wechat = world(200, page_size=50)
    process: list[subprocess.Popen[str]] = []

    def suspend(request: Request) -> None:
        if request.endpoint == "user/get" and wechat.simulator.count("user/get") == 2:
            os.kill(process[0].pid, signal.SIGSTOP)

    wechat.simulator.on_request = suspend
    wechat.set(SYNCJOB_CONCURRENCY="1")
    process.append(start("sync"))
    while wechat.simulator.count("user/get") < 2:
        assert process[0].poll() is None
    wechat.simulator.on_request = None

    query(f"UPDATE runs SET heartbeat_at = {ago(database_url, 5)}")  # time passes
    taken_over = subprocess.run([*SYNCJOB, "sync"], capture_output=True, text=True, timeout=60)
    assert taken_over.returncode == 0, taken_over.stderr
    tables = ("followers ORDER BY openid", "sweeps ORDER BY id", "access_tokens")
    before = [query(f"SELECT * FROM {table}") for table in tables]

    os.kill(process[0].pid, signal.SIGCONT)
    _, said = process[0].communicate(timeout=60)

    assert process[0].returncode == 75
    assert "by another run" in said
    assert "written nothing since" in said
    assert [query(f"SELECT * FROM {table}") for table in tables] == before
    assert query("SELECT status, message FROM runs ORDER BY id") == [
        ("abandoned", "it gave no heartbeat any more"),
        ("succeeded", None),
    ]
    assert_equals_truth(database_url, wechat.simulator)
