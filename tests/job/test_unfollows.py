"""Unfollows: only followers that a sealed sweep missed and WeChat itself calls unfollowed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from syncjob.database.store import Store
from syncjob.model.answers import Answers
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Traffic
from tests.conftest import World

pytestmark = [pytest.mark.pooled, pytest.mark.one_database]

Query = Callable[..., list[Any]]


@pytest.fixture
def synced(world: Callable[..., World]) -> Callable[..., World]:
    """A WeChat whose followers are in the database; each further run sweeps."""

    def start(followers: int, **switches: Any) -> World:
        wechat = world(followers, **switches)
        wechat.set(SYNCJOB_SWEEP_EVERY="0")
        assert wechat.run("sync") == 0
        return wechat

    return start


def subscribed(query: Query) -> int:
    """How many are subscribed in the table."""
    return int(query("SELECT count(*) FROM followers WHERE subscribe")[0][0])


def test_who_left_is_marked_and_nothing_stored_of_them_is_erased(
    synced: Callable[..., World], query: Query
) -> None:
    """Absent from a sealed sweep and `subscribe: 0` from WeChat: unsubscribed, all else kept."""
    wechat = synced(250, page_size=100, profiles="full")
    gone = [wechat.account.openid(n) for n in (3, 77, 200)]
    columns = "openid, nickname, unionid, subscribe_time, headimgurl, first_seen_at"
    select = f"SELECT {columns} FROM followers WHERE openid = :o"
    before = [query(select, o=openid) for openid in gone]
    for openid in gone:
        wechat.account.unfollow(openid)

    assert wechat.run("sync") == 0

    marked = query(
        "SELECT openid FROM followers WHERE NOT subscribe AND unsubscribed_at IS NOT NULL"
    )
    assert sorted(openid for (openid,) in marked) == sorted(gone)
    assert [query(select, o=openid) for openid in gone] == before
    assert subscribed(query) == 247
    assert query("SELECT unfollowed, lagging FROM runs ORDER BY id DESC LIMIT 1") == [(3, 0)]
    assert query("SELECT count(*) FROM unfollow_candidates") == [(0,)]


def test_who_is_only_missing_from_the_list_stays(
    synced: Callable[..., World], query: Query
) -> None:
    """Absent from the list but `subscribe: 1` from WeChat: still a follower, counted as lag."""
    wechat = synced(100)
    for n in range(10):
        wechat.account.hide(wechat.account.openid(n))

    assert wechat.run("sync") == 0

    assert subscribed(query) == 100
    assert query("SELECT unfollowed, lagging FROM runs ORDER BY id DESC LIMIT 1") == [(0, 10)]


def test_a_batch_that_calls_followers_unfollowed_is_not_believed(
    synced: Callable[..., World], query: Query
) -> None:
    """Missing from the list and blank in a batch, both wrongly: user/info has the last word."""
    wechat = synced(100)
    for n in range(10):
        wechat.account.hide(wechat.account.openid(n))
        wechat.account.blank(wechat.account.openid(n))

    assert wechat.run("sync") == 0

    assert subscribed(query) == 100
    assert wechat.simulator.count("user/info") == 10


def test_a_listed_follower_whom_a_batch_calls_unfollowed_is_asked_alone(
    world: Callable[..., World], query: Query
) -> None:
    """A blank answer about a listed follower costs one call to user/info, and no follower."""
    wechat = world(100)
    openid = wechat.account.openid(7)
    wechat.account.blank(openid)

    assert wechat.run("sync") == 0

    truth = wechat.account.user(openid)
    assert query("SELECT subscribe, unionid FROM followers WHERE openid = :o", o=openid) == [
        (True, truth["unionid"])
    ]
    assert subscribed(query) == 100
    assert wechat.simulator.count("user/info") == 1


@pytest.mark.parametrize("trouble", ["forget", "poison"])
def test_no_answer_decides_nothing_and_the_next_sweep_asks_again(
    synced: Callable[..., World], query: Query, trouble: str
) -> None:
    """No entry, or 40003: nobody is marked; asked again after a later sweep, not before.

    A refused candidate waits for the pause of the quarantine as well.
    """
    wechat = synced(100)
    openid = wechat.account.openid(5)
    wechat.account.unfollow(openid)
    getattr(wechat.account, trouble)(openid)

    assert wechat.run("sync") == 0
    assert subscribed(query) == 100
    asked = wechat.simulator.count("user/info/batchget")
    wechat.set(SYNCJOB_SWEEP_EVERY="1d")
    assert wechat.run("sync") == 0
    assert wechat.simulator.count("user/info/batchget") == asked

    wechat.account.cure(openid)
    query("UPDATE quarantine SET next_try_at = first_failed_at")
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [(openid,)]


def test_an_interrupted_proof_goes_on(synced: Callable[..., World], query: Query) -> None:
    """A run that ends while asking about candidates leaves the rest to the next run."""
    wechat = synced(100)
    wechat.set(SYNCJOB_BATCH_SIZE="5")
    for n in range(10):
        wechat.account.unfollow(wechat.account.openid(n))
    first = wechat.simulator.count("user/info/batchget")
    wechat.simulator.faults.add(f"user/info/batchget=45009@{first + 2}")
    assert wechat.run("sync") == 75
    assert subscribed(query) == 95

    wechat.simulator.faults.clear()
    wechat.set(SYNCJOB_SWEEP_EVERY="1d")
    assert wechat.run("sync") == 0
    assert subscribed(query) == 90


# --- too many to be believed --------------------------------------------------------------


def leave(wechat: World, number: int) -> None:
    """So many followers leave."""
    for n in range(number):
        wechat.account.unfollow(wechat.account.openid(n))


def test_too_many_are_parked_until_somebody_decides(
    synced: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than allowed: nobody is marked, exit code 6 in every run, status says so."""
    wechat = synced(150, page_size=100)
    leave(wechat, 120)
    batches = wechat.simulator.count("user/info/batchget")

    for every in ("0", "1d"):
        wechat.set(SYNCJOB_SWEEP_EVERY=every)
        assert wechat.run("sync") == 6
        assert "120 followers are missing from WeChat's list" in capsys.readouterr().err
    assert subscribed(query) == 150
    assert wechat.simulator.count("user/info/batchget") == batches
    assert wechat.run("status") == 1
    assert "PARKED" in capsys.readouterr().out
    assert wechat.run("unfollows") == 0
    words = capsys.readouterr().out
    assert "120 are missing" in words
    assert sum(line.startswith("o") for line in words.splitlines()) >= 10


def test_approved_ones_are_still_asked_about_one_by_one(
    synced: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `approve` the next run marks those that WeChat calls gone, and only those."""
    wechat = synced(150)
    leave(wechat, 120)
    for n in range(120, 130):
        wechat.account.hide(wechat.account.openid(n))
    assert wechat.run("sync") == 6

    assert wechat.run("unfollows", "approve") == 0
    assert "130" in capsys.readouterr().out
    assert subscribed(query) == 150
    assert wechat.run("sync") == 0

    assert subscribed(query) == 30
    assert query("SELECT unfollowed, lagging FROM runs ORDER BY id DESC LIMIT 1") == [(120, 20)]
    assert wechat.run("status") == 0


def test_rejected_ones_stay_until_the_next_sweep(
    synced: Callable[..., World], query: Query
) -> None:
    """After `reject` runs succeed again, nobody is marked, and a new sweep parks them anew."""
    wechat = synced(150)
    leave(wechat, 120)
    assert wechat.run("sync") == 6

    assert wechat.run("unfollows", "reject") == 0
    wechat.set(SYNCJOB_SWEEP_EVERY="1d")
    assert wechat.run("sync") == 0
    assert subscribed(query) == 150

    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 6


def test_a_sweep_that_lists_them_again_lifts_the_parking(
    synced: Callable[..., World], query: Query
) -> None:
    """A stale parking ends by itself with the next sweep that agrees with the table."""
    wechat = synced(150)
    hidden = [wechat.account.openid(n) for n in range(120)]
    for openid in hidden:
        wechat.account.hide(openid)
    wechat.set(SYNCJOB_MAX_DRIFT="100%")
    assert wechat.run("sync") == 6
    for openid in hidden:
        wechat.account.show(openid)

    assert wechat.run("sync") == 0

    assert subscribed(query) == 150
    assert wechat.run("status") == 0


def test_the_limit_is_a_setting(synced: Callable[..., World], query: Query) -> None:
    """SYNCJOB_MAX_UNFOLLOW parks when both its number and its share are passed."""
    wechat = synced(100)
    leave(wechat, 6)
    for limit, code in (("5,5%", 6), ("5,6%", 0)):
        wechat.set(SYNCJOB_MAX_UNFOLLOW=limit)
        assert wechat.run("sync") == code
    assert subscribed(query) == 94


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_there_is_nothing_to_decide(
    synced: Callable[..., World], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """approve and reject without anything parked end with 1 and say so."""
    wechat = synced(3)
    assert wechat.run("unfollows", command) == 1
    assert "nothing is parked" in capsys.readouterr().err
    assert wechat.run("unfollows") == 0
    assert "Nobody waits" in capsys.readouterr().out


# --- lists that are not to be trusted -----------------------------------------------------

CUTS = {
    "cut to half": {"list_cut": 500},
    "empty": {"list_cut": 0},
    "starting over": {"loop": "page-one"},
    "leading back": {"loop": "restart"},
    "standing still": {"loop": "still"},
}


@pytest.mark.parametrize("switches", CUTS.values(), ids=CUTS.keys())
def test_a_list_that_is_not_whole_marks_nobody(
    synced: Callable[..., World],
    query: Query,
    capsys: pytest.CaptureFixture[str],
    switches: dict[str, Any],
) -> None:
    """A list that contradicts itself or its total is discarded, and the next run heals."""
    wechat = synced(1000, page_size=100)
    for name, value in switches.items():
        setattr(wechat.simulator.switches, name, value)
    (newcomer,) = wechat.account.follow(1)

    assert wechat.run("sync") == 75

    words = capsys.readouterr().err
    assert "nobody was marked as gone" in words
    assert subscribed(query) in (1000, 1001)
    assert query("SELECT status FROM sweeps ORDER BY id DESC LIMIT 1") == [("discarded",)]
    ((reason,),) = query("SELECT reason FROM sweeps ORDER BY id DESC LIMIT 1")
    assert reason in words
    assert query("SELECT count(*) FROM followers WHERE subscribe AND enriched_at IS NULL") == [(0,)]

    wechat.simulator.switches.loop = "never"
    wechat.simulator.switches.list_cut = None
    wechat.set(SYNCJOB_SWEEP_EVERY="auto")
    assert wechat.run("sync") == 0
    assert subscribed(query) == 1001
    assert query("SELECT subscribe FROM followers WHERE openid = :o", o=newcomer) == [(True,)]


@pytest.mark.parametrize("cut", [0, 500])
def test_a_list_and_a_total_that_are_cut_alike_are_parked(
    synced: Callable[..., World], query: Query, cut: int
) -> None:
    """If the total agrees with a list that lost many, the guard holds: nobody is marked."""
    wechat = synced(1000, page_size=100)
    wechat.simulator.switches.list_cut = cut
    wechat.simulator.switches.total_cut = True

    assert wechat.run("sync") == 6
    assert subscribed(query) == 1000

    wechat.simulator.switches.list_cut = None
    wechat.simulator.switches.total_cut = False
    assert wechat.run("sync") == 0
    assert subscribed(query) == 1000


def test_a_list_that_stays_broken_does_not_use_up_the_quota(
    synced: Callable[..., World], query: Query
) -> None:
    """After a few discarded sweeps in a row the next ones keep to the usual rhythm."""
    wechat = synced(300, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="auto")
    wechat.simulator.switches.list_cut = 100
    query("UPDATE sweeps SET started_at = finished_at")
    stamp = "1970-01-01 00:00:00"
    query(f"UPDATE sweeps SET started_at = '{stamp}', finished_at = '{stamp}'")

    codes = [wechat.run("sync") for _ in range(5)]

    assert codes == [75, 75, 75, 0, 0]


def test_a_sweep_that_lay_about_for_too_long_starts_over(
    world: Callable[..., World], query: Query
) -> None:
    """An open sweep older than SYNCJOB_SWEEP_MAX_AGE is discarded, not resumed."""
    wechat = world(300, page_size=100)
    wechat.simulator.faults.add("user/get=45009@2")
    assert wechat.run("sync") == 75
    wechat.simulator.faults.clear()
    query("UPDATE sweeps SET started_at = '2020-01-01 00:00:00'")

    assert wechat.run("sync") == 0

    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("sealed",)]
    assert wechat.simulator.count("user/get") == 2 + 4


def test_who_is_listed_twice_and_gone_in_between_stays_gone(store: Store, query: Query) -> None:
    """A page that repeats somebody of this sweep knows less of them than WeChat's answer since."""
    account = store.accounts.save("wx1")
    run = store.runs.start(account.id, "sync", holder="me", abandon_after=timedelta(minutes=3))
    sweep = store.sweeps.start(run.id, account.id)
    first = store.sweeps.save_page(run.id, sweep, FollowerPage(("a", "b"), "b", 3), Traffic())
    store.followers.save_answers(run.id, account.id, Answers(gone=["a"]), Traffic())

    again = store.sweeps.save_page(run.id, first.sweep, FollowerPage(("a", "c"), "c", 3), Traffic())

    assert again.returned == 0
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [("a",)]
