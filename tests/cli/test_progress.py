"""The progress on a terminal: a real one, of which the test holds the other end."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from rich.progress import Progress

from syncjob.cli.progress import ProgressBars
from syncjob.job.job import Plan
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def seen_on_a_terminal(*arguments: str, code: int = 0, **around: str) -> str:
    """Run the command with a terminal for its stderr; return what was written there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "syncjob", *arguments],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **around},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            some = os.read(ours, 65_536)
        except OSError:  # the last one who could write has gone
            break
        written += some
    os.close(ours)
    assert process.wait(30) == code
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    return written.decode()


def test_on_a_terminal_both_phases_are_shown_and_summed_up(
    world: Callable[..., World], query: Query
) -> None:
    """How much of how much, how fast, how long yet; and a line at the end."""
    world(2_300, page_size=1000, latency=0.02)
    shown = seen_on_a_terminal("sync")
    plain = ESCAPES.sub("", shown)
    assert re.search(r"list +━+ +2,300/2,300 +[\d,]+/s +took 0:00:\d\d", plain)
    assert re.search(r"profiles +━+ +2,300/2,300 +[\d,]+/s +took 0:00:\d\d", plain)
    assert re.search(r"[\d,]+/2,300", plain)
    assert "Run 1 succeeded after " in plain
    assert "3 pages, 2,300 new, 2,300 profiles; 30 calls" in plain
    assert shown.endswith("calls\r\n")
    assert "\x1b[?25h" in shown  # the cursor is back


def test_on_a_terminal_a_run_that_had_nothing_to_do_says_when_the_next_one_has(
    world: Callable[..., World],
) -> None:
    """And that WeChat was not asked, how to list now, and how to try the credentials."""
    wechat = world(23)
    assert wechat.run("sync") == 0
    calls = wechat.simulator.counts
    shown = ESCAPES.sub("", seen_on_a_terminal("sync")).replace("\r", "")
    assert re.search(
        r"^Nothing was due, WeChat was not asked; next sweep due \d{4}-\d\d-\d\d \d\d:\d\d UTC\.\n"
        r"To list now: syncjob sync --now; to try the credentials: syncjob doctor\n$",
        shown,
    )
    assert wechat.simulator.counts == calls
    assert "Nothing was due" not in ESCAPES.sub("", seen_on_a_terminal("sync", "--now"))


def test_warnings_and_errors_are_printed_above_the_bars(world: Callable[..., World]) -> None:
    """Each on a line of its own, and the exit code is as ever."""
    wechat = world(250, page_size=100)
    wechat.account.poison(wechat.account.openid(7))
    lines = ESCAPES.sub("", seen_on_a_terminal("sync")).replace("\r", "\n").split("\n")
    assert any(
        line.endswith("Put OpenIDs into quarantine. openids=1 errcodes=40003") for line in lines
    )
    wechat.simulator.faults.add("user/get=48001")
    shown = ESCAPES.sub("", seen_on_a_terminal("sync", code=3, SYNCJOB_SWEEP_EVERY="0"))
    assert re.search(r"[\r\n]syncjob: WeChat /cgi-bin/user/get answered 48001", shown)
    assert "succeeded" not in shown


@pytest.mark.parametrize("said", [["-v"], ["--log-format", "json"]])
def test_with_v_no_bars_are_shown(world: Callable[..., World], said: list[str]) -> None:
    """They would be drawn into its lines."""
    world(250, page_size=100)
    assert "\x1b" not in seen_on_a_terminal(*said, "sync")


def test_without_a_terminal_no_bars_are_shown(
    world: Callable[..., World], capfd: pytest.CaptureFixture[str]
) -> None:
    """As cron wants it."""
    wechat = world(250)
    assert wechat.run("sync") == 0
    assert capfd.readouterr() == ("", "")


def test_the_profile_bar_counts_pages_that_are_not_listed_yet(world: Callable[..., World]) -> None:
    """A quarter of the list is shown, all of it new: four times as many profiles are expected."""
    wechat = world(1_000, page_size=250)
    totals: list[tuple[float, float | None]] = []

    class Seen(ProgressBars):
        def due(self, people: int) -> None:
            super().due(people)
            totals.append((people, progress.tasks[1].total))

    with Progress(disable=True) as progress:
        wechat.run_job(plan=Plan(concurrency=8), progress=Seen(progress))
    assert totals[0] == (250, 1_000)
    assert progress.tasks[0].completed == progress.tasks[1].completed == 1_000
    assert progress.tasks[0].total == progress.tasks[1].total == 1_000
