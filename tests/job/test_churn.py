"""People come and go while a sweep is on and the job is killed: exact after one more run."""

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from syncjob.simulator import Request
from tests.conftest import World
from tests.job.test_sync_job import PROFILE, rows

Query = Callable[..., list[Any]]


def play_churn(
    wechat: World, database_url: str, query: Query, *, leave: int, back: int, new: int
) -> None:
    """Churn in the middle of a sweep that is killed twice; one more run makes the table exact.

    Of those who left before, `back` return; `leave` others leave, `new` ones come.
    """
    account = wechat.account
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_MAX_UNFOLLOW="100%")
    assert wechat.run("sync") == 0
    first_seen = {openid: row["first_seen_at"] for openid, row in rows(database_url).items()}
    known = sorted(account.openids())
    gone_before = known[:back]
    for openid in gone_before:
        account.unfollow(openid)
    assert wechat.run("sync") == 0
    assert query("SELECT count(*) FROM followers WHERE NOT subscribe") == [(back,)]

    process: list[subprocess.Popen[bytes]] = []
    kills = [2, 3]  # in the second page, and again one page on
    start = wechat.simulator.count("user/get")
    leavers, newcomers = known[back : back + leave], []

    def churn_and_kill(request: Request) -> None:
        if request.endpoint != "user/get" or not kills:
            return
        page = wechat.simulator.count("user/get") - start
        if page == kills[0]:
            kills.pop(0)
            half = len(kills) == 1
            for openid in leavers[: leave // 2] if half else leavers[leave // 2 :]:
                account.unfollow(openid)
            for openid in gone_before[: back // 2] if half else gone_before[back // 2 :]:
                account.refollow(openid)
            newcomers.extend(account.follow(new // 2 if half else new - new // 2))
            process[-1].send_signal(signal.SIGKILL)

    wechat.simulator.on_request = churn_and_kill
    for _ in range(2):
        process.append(subprocess.Popen([sys.executable, "-m", "syncjob", "sync"]))
        assert process[-1].wait() == -signal.SIGKILL
    wechat.simulator.on_request = None
    assert wechat.run("sync") in (0, 75)  # the sweep that saw the churn
    assert wechat.run("sync") == 0  # and one more run

    found = rows(database_url)
    following = set(account.openids())
    assert {openid for openid, row in found.items() if row["subscribe"]} == following
    assert found.keys() == set(known) | set(newcomers)
    for openid in following:
        truth = account.user(openid)
        assert all(found[openid][name] == truth.get(name) for name in PROFILE)
    assert all(found[openid]["first_seen_at"] == at for openid, at in first_seen.items())
    assert all(found[openid]["unsubscribed_at"] is not None for openid in leavers)
    periods = query("SELECT count(*) FROM follow_periods WHERE unfollowed_before IS NULL")
    assert periods == [(len(following),)]
    assert query("SELECT count(*) FROM past_follow_periods") == [(back,)]


def test_churn_in_the_middle_of_a_sweep_that_is_killed_twice(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """Leavers, returners and newcomers of a sweep killed twice are all right after one more run."""
    wechat = world(2000, page_size=200)
    play_churn(wechat, database_url, query, leave=60, back=10, new=40)
