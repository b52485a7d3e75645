"""Answers about one person: none at the same time, none older over newer, none against each other.

And a list that WeChat's answers contradict settles.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from syncjob.database.store import Store
from syncjob.model.answers import Answers
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Traffic
from syncjob.model.user_info import UserInfo
from tests.ages import age
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]


def follower(openid: str) -> UserInfo:
    """An answer about somebody who follows."""
    return UserInfo(openid=openid, subscribe=1, subscribe_time=1_700_000_000)


def test_a_late_answer_does_not_overwrite_that_they_left(store: Store, query: Query) -> None:
    """A follower marked as gone is subscribed by the list or a confirmed answer, by no batch."""
    account = store.accounts.save("wx1")
    run = store.runs.start(account.id, "sync", holder="me", abandon_after=timedelta(minutes=3))
    sweep = store.sweeps.start(run.id, account.id)
    store.sweeps.save_page(run.id, sweep, FollowerPage(("a", "b"), "", 2), Traffic())
    store.followers.save_answers(run.id, account.id, Answers(following=[follower("a")]), Traffic())
    store.followers.save_answers(run.id, account.id, Answers(gone=["a"]), Traffic())
    look = "SELECT subscribe, unfollowed_before IS NULL, unsubscribed_at IS NULL FROM followers "
    look += "WHERE openid = 'a'"

    store.followers.save_answers(run.id, account.id, Answers(following=[follower("a")]), Traffic())
    assert query(look) == [(False, False, False)]

    answers = Answers(following=[follower("a")])
    store.followers.save_answers(run.id, account.id, answers, Traffic(), confirmed=True)
    assert query(look) == [(True, True, True)]


def test_the_other_owner_of_a_unionid_is_not_asked_about_twice_at_a_time(
    world: Callable[..., World], query: Query
) -> None:
    """Their own answer is out, and older: that they left meanwhile is what is stored."""
    wechat = world(2)
    one, other = (wechat.account.openid(n) for n in range(2))
    wechat.set(SYNCJOB_BATCH_SIZE="1", SYNCJOB_CONCURRENCY="8")
    assert wechat.run("sync") == 0
    wechat.account.override(one, unionid=wechat.account.user(other)["unionid"])
    asked: list[str] = []

    def watch(request: Any) -> None:
        calls = wechat.simulator.count(request.endpoint)
        if request.openids == (other,) and not asked:  # the answer to this call is late
            wechat.simulator.faults.add(f"{request.endpoint}=slow-2500@{calls}")
        if request.endpoint == "user/info":
            asked.append(request.params["openid"])
            if asked == [one]:
                wechat.account.unfollow(other)

    wechat.simulator.on_request = watch
    assert wechat.run("backfill") == 0

    assert asked[0] == one
    assert asked.count(other) == 1
    assert query(
        "SELECT subscribe, unfollowed_before IS NULL FROM followers WHERE openid = :o", o=other
    ) == [(False, False)]


# --- a list that answers contradict -------------------------------------------------------


@pytest.fixture
def swept(
    world: Callable[..., World], query: Query, databases: Any
) -> Callable[..., Callable[..., list[Any]]]:
    """Return what sweeps, and tells what that run has counted and when the person changed."""

    def start(
        followers: int, concurrency: int, prepare: Callable[[Any, str], object]
    ) -> Callable[..., tuple[Any, ...]]:
        wechat = world(followers)
        wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_CONCURRENCY=str(concurrency))
        openid = wechat.account.openid(3)
        prepare(wechat.account, openid)

        def sweep(hours: float = 0) -> tuple[Any, ...]:
            if hours:
                age(query, hours, postgresql=databases.kind == "postgresql")
            assert wechat.run("sync") == 0
            (run,) = query("SELECT returned, unfollowed FROM runs ORDER BY id DESC LIMIT 1")
            (person,) = query(
                "SELECT subscribe, changed_at FROM followers WHERE openid = :o", o=openid
            )
            return (*run, *person)

        sweep.wechat, sweep.openid = wechat, openid  # type: ignore[attr-defined]
        return sweep

    return start


def lingering(account: Any, openid: str) -> None:
    """They have left, and the list goes on to show them."""
    account.linger(openid)
    account.unfollow(openid)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_list_that_answers_contradict_settles(
    swept: Callable[..., Any], concurrency: int
) -> None:
    """Listed in every sweep, and gone in every answer: believed once a day, not once a sweep."""
    sweep = swept(20, concurrency, lingering)
    returned, unfollowed, subscribe, changed_at = sweep()
    assert (returned, unfollowed, bool(subscribe)) == (0, 1, False)
    for _ in range(3):
        calls = sweep.wechat.simulator.count("user/info/batchget")
        assert sweep() == (0, 0, subscribe, changed_at)
        assert sweep.wechat.simulator.count("user/info/batchget") == calls
    assert sweep(hours=25)[:3] == (1, 1, subscribe)
    assert sweep()[:3] == (0, 0, subscribe)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_whoever_is_back_is_believed_after_a_day(
    swept: Callable[..., Any], query: Query, concurrency: int
) -> None:
    """The same list says so, and nothing else; the answer then confirms it, with its bounds."""
    sweep = swept(20, concurrency, lingering)
    sweep()
    sweep.wechat.account.refollow(sweep.openid)
    assert not sweep(hours=12)[2]
    assert sweep(hours=13)[:3] == (1, 0, True)
    periods = query(
        "SELECT followed_after = followed_before, unfollowed_before IS NULL, unsubscribe_reason "
        "FROM follow_periods WHERE openid = :o ORDER BY followed_before",
        o=sweep.openid,
    )
    assert [tuple(row)[1:] for row in periods] == [(False, "answered"), (True, None)]
    assert bool(periods[1][0])


def test_a_return_is_believed_at_once_where_the_list_agreed_that_they_left(
    swept: Callable[..., Any],
) -> None:
    """Missing from a sweep and gone: to be listed again is news."""
    sweep = swept(20, 8, lambda account, openid: None)
    sweep()
    sweep.wechat.account.unfollow(sweep.openid)
    assert sweep()[:3] == (0, 1, False)
    sweep.wechat.account.refollow(sweep.openid)
    assert sweep()[:3] == (1, 0, True)


@pytest.mark.parametrize("trouble", ["poison", "forget"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_listed_without_an_answer_changes_nothing(
    swept: Callable[..., Any], concurrency: int, trouble: str
) -> None:
    """Refused, or left out of each answer: they follow, as the list says, and no value moves."""

    def prepare(account: Any, openid: str) -> None:
        lingering(account, openid)
        getattr(account, trouble)(openid)

    sweep = swept(20, concurrency, prepare)
    first = sweep()
    assert (first[0], first[1], bool(first[2])) == (0, 0, True)
    for hours in (0, 25, 25, 200, 0):
        assert sweep(hours)[:3] == first[:3]
