"""What steps count beside the columns of `runs`: a narrow table, shown with each run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import World

Query = Callable[..., list[Any]]


def counts_of(wechat: World, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return what a command prints as JSON."""
    capsys.readouterr()
    assert wechat.run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_missing_followers_are_counted_by_what_was_found_out(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three were asked about: one is gone, one still follows, one stays undecided."""
    wechat = world(30)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    assert query("SELECT count(*) FROM run_counts") == [(0,)]
    account = wechat.account
    account.unfollow(account.openid(1))
    account.hide(account.openid(2))
    account.hide(account.openid(3))
    account.forget(account.openid(3))

    assert wechat.run("sync", "--report", "report.json") == 0

    found = {"candidates_asked": 3, "candidates_undecided": 1}
    assert query("SELECT run_id, name, count FROM run_counts ORDER BY name") == [
        (2, name, count) for name, count in found.items()
    ]
    assert [run["step_counts"] for run in counts_of(wechat, capsys, "runs")] == [found, {}]
    assert counts_of(wechat, capsys, "status")["last_run"]["step_counts"] == found
    assert json.loads(Path("report.json").read_text("utf-8"))["step_counts"] == found


def test_refreshed_profiles_are_counted_apart(world: Callable[..., World], query: Query) -> None:
    """They are among `enriched` as well, as new ones are."""
    wechat = world(250)
    assert wechat.run("sync") == 0
    query("UPDATE followers SET enriched_at = '2020-01-01 00:00:00'")
    wechat.account.follow(10)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_REFRESH_AFTER="30d")

    assert wechat.run("sync") == 0

    assert query("SELECT enriched FROM runs WHERE id = 2") == [(260,)]
    assert query("SELECT run_id, name, count FROM run_counts") == [(2, "refreshed", 250)]
