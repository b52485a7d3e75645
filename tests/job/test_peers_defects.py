"""The defects that were read in the code of other follower syncs, each a story that theirs fails.

Every test is named after the project whose way of doing it would fail it.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from syncjob.simulator import Request
from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth, rows

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]


def synced(wechat: World) -> World:
    """Return the WeChat with its followers in the database; each further run sweeps."""
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    return wechat


def subscribed(query: Query) -> set[str]:
    """Return the subscribed OpenIDs of the table."""
    return {openid for (openid,) in query("SELECT openid FROM followers WHERE subscribe")}


def list_calls(wechat: World, since: int = 0) -> list[str | None]:
    """The cursors that were asked for, None for the beginning of the list."""
    asked = [request for request in wechat.simulator.requests if request.endpoint == "user/get"]
    return [request.params.get("next_openid") for request in asked[since:]]


def test_tourze_chunks_do_not_exclude_each_other(world: Callable[..., World], query: Query) -> None:
    """An unfollow is concluded from the whole list, never from single pages or batches."""
    wechat = synced(world(450, page_size=150))
    gone = {wechat.account.openid(n) for n in (0, 120, 240, 360)}
    for openid in gone:
        wechat.account.unfollow(openid)

    for _ in range(2):
        assert wechat.run("sync") == 0

        assert subscribed(query) == set(wechat.account.openids())
    assert len(subscribed(query)) == 446


@pytest.mark.parametrize(
    ("list_cut", "total_cut", "fault", "code"),
    [
        (200, False, None, 75),
        (0, False, None, 75),
        (200, True, None, 6),
        (0, True, None, 6),
        (None, False, "user/get=garbage@6-", 75),
        (None, False, "user/get=cut@6-", 75),
    ],
    ids=["half", "empty", "half, total too", "empty, total too", "garbage", "a torn page"],
)
def test_tourze_a_partial_list_unsubscribes_nobody(
    world: Callable[..., World],
    query: Query,
    list_cut: int | None,
    total_cut: bool,
    fault: str | None,
    code: int,
) -> None:
    """A list that is short, empty or broken in the middle marks nobody, and the exit code says."""
    wechat = synced(world(450, page_size=150))
    wechat.simulator.switches.list_cut = list_cut
    wechat.simulator.switches.total_cut = total_cut
    if fault:
        wechat.simulator.faults.add(fault)
    wechat.account.unfollow(wechat.account.openid(7))

    assert wechat.run("sync") == code

    assert len(subscribed(query)) == 450
    wechat.simulator.switches.list_cut, wechat.simulator.switches.total_cut = None, False
    wechat.simulator.faults.clear()
    assert wechat.run("sync") == 0
    assert subscribed(query) == set(wechat.account.openids())


def test_joolun_nobody_is_unsubscribed_for_the_time_of_a_run(
    world: Callable[..., World], query: Query
) -> None:
    """At each call of a run others see everybody subscribed, and can write to the tables."""
    wechat = synced(world(250, page_size=100))
    wechat.account.unfollow(wechat.account.openid(3))
    seen = []

    def look(request: Request) -> None:
        seen.append(len(subscribed(query)))
        query("UPDATE followers SET language = 'xx' WHERE openid = :o", o=wechat.account.openid(0))

    wechat.simulator.on_request = look
    assert wechat.run("sync") == 0

    assert seen == [250] * len(seen)
    assert len(seen) > 3
    assert len(subscribed(query)) == 249


def test_joolun_whom_batches_leave_out_stays_subscribed(
    world: Callable[..., World], query: Query
) -> None:
    """Followers that a batch says nothing of, listed or not, are not taken for gone."""
    wechat = synced(world(250))
    for n in range(100, 200):
        wechat.account.forget(wechat.account.openid(n))
        if n < 150:
            wechat.account.hide(wechat.account.openid(n))

    for command in ("sync", "backfill"):
        assert wechat.run(command) == 0

        assert len(subscribed(query)) == 250


def test_joolun_a_sync_touches_one_account(
    serve: Callable[..., World], database_url: str, query: Query
) -> None:
    """When everybody leaves one account, the followers of the other one stay as they were."""
    first, other = serve(40, seed=1), serve(40, seed=2)
    for wechat in (first, other):
        settle_on(wechat, database_url)
        assert wechat.run("sync") == 0
    theirs = set(other.account.openids())
    before = {openid: row for openid, row in rows(database_url).items() if openid in theirs}
    for openid in list(first.account.openids()):
        first.account.unfollow(openid)

    settle_on(first, database_url)
    assert first.run("sync") == 0

    assert {o: row for o, row in rows(database_url).items() if o in theirs} == before
    assert subscribed(query) == theirs


def settle_on(wechat: World, database_url: str) -> None:
    """Point the settings at one of several accounts."""
    wechat.set(
        SYNCJOB_DATABASE_URL=database_url,
        SYNCJOB_SWEEP_EVERY="0",
        SYNCJOB_API_URL=wechat.url,
        SYNCJOB_APPID=wechat.simulator.appid,
        SYNCJOB_APPSECRET=wechat.simulator.secret,
    )


def test_niefy_an_empty_first_openid_is_skipped(
    world: Callable[..., World], database_url: str
) -> None:
    """The list of the documentation, which begins with an empty OpenID, is stored like another."""
    wechat = world(250, page_size=100, blank_entry=True)

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)


def test_niefy_a_lost_batch_is_asked_for_again(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """Where WeChat stays busy the run fails; the next one asks for that batch and the rest."""
    wechat = world(500)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    wechat.simulator.faults.add("user/info/batchget=-1@3-")

    assert wechat.run("sync") == 75
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(300,)]

    wechat.simulator.faults.clear()
    asked = wechat.simulator.count("user/info/batchget")
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)
    assert wechat.simulator.count("user/info/batchget") == asked + 3


def test_niefy_a_run_is_running_until_its_last_write(
    world: Callable[..., World], query: Query
) -> None:
    """No second run starts while the first still has a batch to store."""
    wechat = world(300)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    last = (list(wechat.account.openids())[-1],)
    codes = []

    def start_another(request: Request) -> None:
        if request.endpoint == "user/info/batchget" and request.openids[-1:] == last:
            codes.append(run_another())

    wechat.simulator.on_request = start_another
    assert wechat.run("sync") == 0

    assert codes == [75]
    assert query("SELECT status, enriched FROM runs") == [("succeeded", 300)]


def run_another() -> int:
    """Run the job in another process."""
    command = [sys.executable, "-m", "syncjob", "sync"]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode


@pytest.mark.parametrize("what", ["45009", "-1", "48001", "987654"])
def test_yudao_an_errcode_in_the_middle_is_no_end(
    world: Callable[..., World], database_url: str, query: Query, what: str
) -> None:
    """An error on page three fails the run and seals nothing; the next run begins at page three."""
    wechat = world(450, page_size=100)
    wechat.simulator.faults.add(f"user/get={what}@3-8")

    assert wechat.run("sync") != 0

    assert query("SELECT status, errcode FROM runs") == [("failed", int(what))]
    assert query("SELECT status, pages, openids FROM sweeps") == [("open", 2, 200)]
    wechat.simulator.faults.clear()
    calls = wechat.simulator.count("user/get")
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)
    second_page = list(wechat.account.openids())[199]
    assert list_calls(wechat, calls)[0] == second_page


def test_yudao_it_is_known_which_rows_are_stale(world: Callable[..., World], query: Query) -> None:
    """A run that fails leaves the rows it did not come to without an `enriched_at`."""
    wechat = world(300)
    wechat.simulator.faults.add("user/info/batchget=45009@2-")

    assert wechat.run("sync") == 75

    asked = [r.openids for r in wechat.simulator.requests if r.openids]
    fresh = query("SELECT openid FROM followers WHERE enriched_at IS NOT NULL")
    assert {openid for (openid,) in fresh} == set(asked[0])
