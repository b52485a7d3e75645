"""Runs that do a part of their work, and runs that only say what they would do."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_slices_add_up_to_the_whole(
    world: Callable[..., World], database_url: str, query: Query, concurrency: str
) -> None:
    """Each run ends with 0 within its bounds, and the next one goes on where it stopped."""
    wechat = world(950, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    count = wechat.simulator.count
    runs = 0
    while not query("SELECT id FROM sweeps WHERE status = 'sealed'"):
        lists, batches = count("user/get"), count("user/info/batchget")
        assert wechat.run("sync", "--max-pages", "3", "--max-batches", "1") == 0
        runs += 1
        assert count("user/get") - lists <= 3
        assert count("user/info/batchget") - batches <= 1
    assert runs == 4  # ten pages, and one call for the end
    assert count("user/get") == 11
    ((enriched,),) = query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL")
    assert 350 <= enriched <= 400  # the last page holds 50

    assert wechat.run("sync") == 0
    assert count("user/get") == 11
    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT DISTINCT status FROM runs") == [("succeeded",)]


def test_a_bounded_backfill_is_not_over(world: Callable[..., World], query: Query) -> None:
    """Before everybody is listed and asked about, it stays under way."""
    wechat = world(250, page_size=100)
    assert wechat.run("sync") == 0
    assert wechat.run("backfill", "--max-batches", "1") == 0
    assert query("SELECT backfill_finished_at FROM accounts") == [(None,)]
    assert wechat.run("backfill", "--max-pages", "1") == 0
    assert wechat.simulator.count("user/get") == 4 + 4  # it was listed by then
    assert query("SELECT backfill_finished_at IS NULL FROM accounts")[0][0] in (0, False)


def test_bounds_hold_for_those_who_are_missing_too(
    world: Callable[..., World], query: Query
) -> None:
    """A candidate that was not asked about stays one for the next run."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_BATCH_SIZE="10", SYNCJOB_MAX_UNFOLLOW="100%")
    assert wechat.run("sync") == 0
    for index in range(25):
        wechat.account.unfollow(wechat.account.openid(index))
    assert wechat.run("sync", "--max-batches", "2") == 0
    assert query("SELECT count(*) FROM followers WHERE NOT subscribe") == [(20,)]
    wechat.set(SYNCJOB_SWEEP_EVERY="1d")
    assert wechat.run("sync", "--max-batches", "2") == 0
    assert query("SELECT count(*) FROM followers WHERE NOT subscribe") == [(25,)]


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_bound_is_a_number_from_one(world: Callable[..., World], wrong: str) -> None:
    """Nothing else, and nothing is touched."""
    wechat = world(5)
    assert wechat.run("sync", "--max-pages", wrong) == 2
    assert wechat.run("backfill", "--max-batches", wrong) == 2
    assert wechat.run("sync", "--dry-run", "--max-pages", "1") == 2
    assert wechat.simulator.counts == {}


def test_a_dry_run_says_what_a_run_would_do_and_does_nothing(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """At each state that a run may meet; no call, no row."""
    wechat = world(250, page_size=100)

    def intentions(*options: str) -> str:
        calls, runs = dict(wechat.simulator.counts), query("SELECT * FROM runs")
        sweeps = query("SELECT * FROM sweeps")
        capsys.readouterr()
        assert wechat.run("sync", "--dry-run", *options) == 0
        assert (wechat.simulator.counts, query("SELECT * FROM runs")) == (calls, runs)
        assert query("SELECT * FROM sweeps") == sweeps
        return capsys.readouterr().out

    assert intentions() == (
        "would list everybody\n"
        "would fetch the profiles of followers that the list shows for the first time\n"
    )
    assert query("SELECT * FROM accounts") == []
    wechat.run("sync", "--max-pages", "2", "--max-batches", "1")
    assert intentions() == (
        "would go on with the open sweep, behind page 2 (200 of 250 listed)\n"
        "would fetch 100 profiles that are due, in 1 call\n"
    )
    wechat.set(SYNCJOB_SWEEP_MAX_AGE="0.001s")
    assert intentions().startswith("would give the open sweep up, since it is too old")
    wechat.set(SYNCJOB_SWEEP_MAX_AGE="1d")
    assert wechat.run("sync") == 0
    assert re.match(
        r"would not list: the last sweep began 20[-\d]+ [:\d]+ UTC; "
        r"next sweep due 20[-\d]+ [:\d]+ UTC \(SYNCJOB_SWEEP_EVERY\); or: syncjob sync --now\n",
        intentions(),
    )
    assert intentions("--now").startswith("would list everybody\n")
    assert "would do nothing else\n" in intentions()
    wechat.set(SYNCJOB_REFRESH_AFTER="0.001s", SYNCJOB_REFRESH_LIMIT="120")
    assert "would fetch 120 profiles again that are old, in 2 calls\n" in intentions()
    wechat.set(SYNCJOB_REFRESH_AFTER="off")

    query("INSERT INTO unfollow_candidates (account_id, openid, sweep_id) "
          "SELECT account_id, openid, 1 FROM followers LIMIT 7")  # fmt: skip
    assert "would ask about 7 followers who are missing from the list\n" in intentions()
    query("UPDATE accounts SET parked_at = created_at")
    assert "none of the 7 followers" in intentions()

    query("UPDATE quotas SET exhausted_at = (SELECT max(heartbeat_at) FROM runs) "
          "WHERE cgi_path = '/cgi-bin/user/get'")  # fmt: skip
    assert "would end with 75 where it needs /cgi-bin/user/get" in intentions()
    query("UPDATE runs SET status = 'running', finished_at = NULL, holder = 'elsewhere' "
          "WHERE id = 1")  # fmt: skip
    assert intentions().startswith("would end at once (75) and touch nothing: run 1 is running")


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_now_lists_although_no_sweep_is_due(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """With it new followers are stored; without it the run asks nothing."""
    wechat = world(120, page_size=50)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency, SYNCJOB_SWEEP_EVERY="30d")
    assert wechat.run("sync", "--now") == 0
    wechat.account.follow(7)
    calls = dict(wechat.simulator.counts)
    assert wechat.run("sync") == 0
    assert wechat.simulator.counts == calls
    assert query("SELECT count(*) FROM followers") == [(120,)]
    assert wechat.run("sync", "--now") == 0
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL") == [(127,)]


def test_now_lists_although_the_last_sweeps_were_discarded(
    world: Callable[..., World], query: Query
) -> None:
    """After three in a row a run keeps to SYNCJOB_SWEEP_EVERY; a person need not wait."""
    wechat = world(200, page_size=10, list_cut=20)
    for _ in range(3):
        assert wechat.run("sync") == 75
    assert wechat.run("sync") == 0
    wechat.simulator.switches.list_cut = None
    assert wechat.run("sync") == 0
    assert query("SELECT count(*) FROM sweeps WHERE status = 'sealed'") == [(0,)]
    assert wechat.run("sync", "--now") == 0
    assert query("SELECT count(*) FROM sweeps WHERE status = 'sealed'") == [(1,)]


def test_now_goes_on_with_an_open_sweep_and_ends_at_a_bound(
    world: Callable[..., World], query: Query
) -> None:
    """It is a run like any other, but for its beginning."""
    wechat = world(200, page_size=50)
    assert wechat.run("sync", "--now", "--max-pages", "1") == 0
    assert wechat.run("sync", "--now", "--max-pages", "2") == 0
    assert query("SELECT status, pages FROM sweeps") == [("open", 3)]
    assert wechat.run("sync", "--now") == 0
    assert query("SELECT status, pages FROM sweeps") == [("sealed", 4)]
    assert wechat.run("backfill", "--now") == 2
