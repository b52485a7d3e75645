"""`syncjob plan`: what a run would take, and then takes."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from syncjob.job.forecast import SECONDS_A_FOLLOWER
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]


def planned(wechat: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return the plan as JSON."""
    capsys.readouterr()
    assert wechat.run("plan", "--json", *arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_makes_the_calls_that_were_planned(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the first run, one that has nothing to do, a bounded one's rest, and a backfill."""
    wechat = world(20_450)

    def spent_by(*arguments: str) -> tuple[int, int]:
        count = wechat.simulator.count
        before = count("user/get"), count("user/info/batchget")
        assert wechat.run(*arguments) == 0
        return count("user/get") - before[0], count("user/info/batchget") - before[1]

    first = planned(wechat, capsys)
    assert (first["total"], first["known"], first["new"]) == (20_450, 0, 20_450)
    assert first["sweep"] == "start"
    assert spent_by("sync", "--max-pages", "1", "--max-batches", "7") == (1, 7)
    rest = planned(wechat, capsys)
    assert (rest["sweep"], rest["profiles"]) == ("resume", 20_450 - 700)
    assert spent_by("sync") == (rest["list"]["calls"], rest["batches"]["calls"])
    assert first["list"]["calls"] == 1 + rest["list"]["calls"]
    assert first["batches"]["calls"] == 205

    nothing = planned(wechat, capsys)
    assert (nothing["list"]["calls"], nothing["batches"]["calls"], nothing["new"]) == (0, 0, 0)
    assert spent_by("sync") == (0, 0)
    everything = planned(wechat, capsys, "--backfill")
    assert everything["profiles"] == 20_450
    assert spent_by("backfill") == (everything["list"]["calls"], everything["batches"]["calls"])


def test_a_plan_says_that_the_list_is_not_due(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """New followers since the last sweep are not added by the next run; the plan says when."""
    wechat = world(30)
    assert wechat.run("sync") == 0
    wechat.account.follow(8)
    plan = planned(wechat, capsys)
    assert (plan["total"], plan["known"], plan["new"], plan["sweep"]) == (38, 30, 0, "not yet")
    assert datetime.fromisoformat(plan["next_sweep_at"]) > datetime.now(UTC)
    assert wechat.run("plan") == 0
    words = capsys.readouterr().out
    assert "38 at WeChat, 30 here; none is added before the next sweep" in words
    assert re.search(
        r"^list +not yet: next sweep due 20.* UTC; or: syncjob sync --now$", words, re.M
    )


def test_a_plan_changes_nothing_and_costs_five_calls(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token, a page, a batch, and two questions for quotas."""
    wechat = world(250, page_size=100)
    assert wechat.run("plan") == 0
    assert sum(wechat.simulator.counts.values()) == 5
    for table in ("runs", "sweeps", "followers", "api_calls"):
        assert query(f"SELECT count(*) FROM {table}") == [(0,)]
    plan = capsys.readouterr().out
    assert "250 at WeChat, 0 here; about 250 to be added" in plan
    assert "3 calls of /cgi-bin/user/info/batchget" in plan
    assert "yes, into what is left of today's quotas" in plan


def test_what_does_not_fit_into_a_day_is_said_to_take_more(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ten batches a day eight may be asked, and the plan itself asks one."""
    wechat = world(2_500, daily_quota={"user/info/batchget": 10})
    found = planned(wechat, capsys)
    assert (found["batches"]["calls"], found["batches"]["left"]) == (25, 7)
    assert (found["days"], found["fits_today"]) == (1 + 3, False)
    assert wechat.run("plan") == 0
    assert "not today: runs would end with 75 at the quota" in capsys.readouterr().out

    assert wechat.run("sync") == 75
    assert wechat.simulator.count("user/info/batchget") == 8


def test_latency_and_concurrency_make_the_time(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A hundred batches of 50 ms or more, one after the other, or eight at a time."""
    wechat = world(10_000, latency=0.05)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    slow = planned(wechat, capsys)
    lists = slow["list"]["calls"] * slow["list"]["seconds_a_call"]
    batches = 100 * slow["batches"]["seconds_a_call"]
    assert batches >= 5
    assert slow["seconds"] == pytest.approx(lists + batches + 10_000 * SECONDS_A_FOLLOWER, abs=0.1)
    wechat.set(SYNCJOB_CONCURRENCY="8")
    fast = planned(wechat, capsys)
    assert fast["seconds"] == pytest.approx(
        max(2 * fast["list"]["seconds_a_call"], 100 * fast["batches"]["seconds_a_call"] / 8),
        abs=0.1,
    )


def test_a_refusal_ends_a_plan_as_it_would_end_a_run(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """The cure is named before the first run."""
    wechat = world(5)
    wechat.simulator.faults.add("user/get=48001")
    assert wechat.run("plan") == 3
    assert "certified" in capsys.readouterr().err
