"""The simulator's people over time: who follows when, and what the list makes of it."""

import json
from typing import Any

import pytest

from syncjob.simulator import Account, Simulator
from tests.simulator_calls import NOON, Clock, calling, small


def lag(account: Account) -> tuple[str, str]:
    """Hide one who follows, keep one who left in the list, and return the two."""
    hidden, lingering = account.openid(2), account.openid(7)
    account.hide(hidden)
    account.linger(lingering)
    account.unfollow(lingering)
    return hidden, lingering


def test_the_periods_of_a_follower_are_exact() -> None:
    """Every follow and every unfollow is known to the second of the account's clock."""
    clock = Clock()
    account = Account(followers=3, clock=clock)
    openid = account.openid(1)
    since: Any = account.user(openid)["subscribe_time"]
    assert account.periods(openid) == [(since, None)]
    assert since < NOON

    clock.now += 10.5
    account.unfollow(openid)
    clock.now += 100
    account.refollow(openid)
    account.refollow(openid)

    assert account.periods(openid) == [(since, NOON + 10.5), (int(NOON) + 110, None)]
    assert account.user(openid)["subscribe_time"] == int(NOON) + 110
    (new,) = account.follow()
    assert account.periods(new) == [(int(NOON) + 110, None)]
    account.unfollow(new)
    clock.now += 1
    account.unfollow(new)
    assert account.periods(new) == [(int(NOON) + 110, NOON + 110.5)], "gone is gone"


def test_a_simulator_gives_its_clock_to_the_account() -> None:
    """Whoever follows while a clock is given is stamped by it; without one it is the account's."""
    clock, other = Clock(), Clock()
    other.now += 500
    account = Account(clock=clock)
    Simulator(account)
    assert account.periods(account.follow()[0]) == [(int(NOON), None)]
    Simulator(account, clock=other)
    assert account.periods(account.follow()[0]) == [(int(NOON) + 500, None)]


def test_the_list_can_lag_behind_what_is_true() -> None:
    """A hidden follower and one who left and lingers are wrong in the list, and nowhere else."""
    with calling(small(), page_size=3) as wechat:
        account = wechat.account
        hidden, lingering = lag(account)

        listed = wechat.sweep()
        assert len(listed) == 9
        assert hidden not in listed
        assert lingering in listed
        assert (account.total, account.listed) == (9, 9)
        assert wechat.page()["total"] == 9
        assert [user["subscribe"] for user in wechat.users([hidden, lingering])] == [1, 0]
        assert wechat.get("user/info", openid=hidden).json()["subscribe"] == 1

        account.show(hidden)
        account.show(lingering)
        assert hidden in wechat.sweep()
        assert lingering not in wechat.sweep()


def test_lag_outlasts_leaving_and_returning() -> None:
    """Someone hidden stays hidden, and someone lingering listed, until shown again."""
    account = small()
    hidden, lingering = lag(account)
    account.unfollow(hidden)
    account.refollow(hidden)
    account.refollow(lingering)
    account.unfollow(lingering)
    assert hidden not in set(account.openids())
    assert lingering in set(account.openids())
    assert (account.total, account.listed) == (9, 9)


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 10, 11])
def test_a_list_can_be_cut_short(cut: int) -> None:
    """The list ends after so many OpenIDs like any other, and total keeps the truth."""
    with calling(small(), page_size=4, list_cut=cut) as wechat:
        everyone = list(wechat.account.openids())
        assert wechat.sweep() == everyone[:cut]
        assert wechat.page()["total"] == 10
        past = wechat.page(everyone[-1])
        assert (past["count"], past["next_openid"]) == (0, "")


@pytest.mark.parametrize(("cut", "total"), [(None, 8), (4, 4), (9, 8)])
def test_total_can_be_cut_with_the_list(cut: int | None, total: int) -> None:
    """With total_cut total says how many the list shows, be it cut or lagging."""
    with calling(small(), list_cut=cut, total_cut=True, past_end="empty-data") as wechat:
        for index in (1, 2):
            wechat.account.hide(wechat.account.openid(index))
        assert wechat.page()["total"] == total
        assert len(wechat.sweep()) == total


def test_the_last_page_of_a_cut_list_is_a_last_page() -> None:
    """The variants of the last cursor hold for the page that the cut ends."""
    with calling(small(), page_size=4, list_cut=8, last_cursor="empty") as wechat:
        first = wechat.page()
        assert wechat.page(first["next_openid"])["next_openid"] == ""


def test_a_negative_cut_is_refused() -> None:
    """A list cannot end before its beginning."""
    with pytest.raises(ValueError, match="list_cut"):
        Simulator(small(), list_cut=-1)


def test_one_follower_can_make_bodies_unreadable() -> None:
    """A garbled follower spoils batchget and user/info alike, until cured or gone."""
    with calling(small()) as wechat:
        garbled, other = wechat.account.openid(0), wechat.account.openid(1)
        wechat.account.garble(garbled)
        for body in (
            wechat.batch([garbled, other]).content,
            wechat.get("user/info", openid=garbled).content,
        ):
            with pytest.raises(ValueError, match="escape"):
                json.loads(body.decode("utf-8", "replace"), strict=False)
        assert wechat.users([other])[0]["subscribe"] == 1

        wechat.account.unfollow(garbled)
        assert wechat.users([garbled])[0]["subscribe"] == 0
        wechat.account.refollow(garbled)
        wechat.account.cure(garbled)
        assert wechat.users([garbled]) == [wechat.account.user(garbled)]


@pytest.mark.parametrize("shape", ["docs", "docs-2015"])
def test_a_shift_leaves_the_body_readable(shape: Any) -> None:
    """The last one of a shifted batch has no unionid, wherever in the entry it stood."""
    with calling(small(unfollowed=shape), shift_after_lost=True) as wechat:
        openids = [wechat.account.openid(n) for n in (0, 1)]
        for openid in openids:
            wechat.account.unfollow(openid)
        users = wechat.users(openids)
        assert [user["subscribe"] for user in users] == [0, 0]
        assert "unionid" not in users[1]


@pytest.mark.parametrize("lost", ["unfollow", "blank", "forget"])
def test_whoever_is_lost_to_a_batch_can_shift_the_unionids_behind(lost: str) -> None:
    """With shift_after_lost one who left, or seems so, does what a stranger does."""
    with calling(small(), shift_after_lost=True) as wechat:
        openids = list(wechat.account.openids())[:4]
        true = [wechat.account.user(openid)["unionid"] for openid in openids]
        assert [user["unionid"] for user in wechat.users(openids)] == true
        getattr(wechat.account, lost)(openids[1])
        told = {user["openid"]: user.get("unionid") for user in wechat.users(openids)}
        assert [told.get(openid) for openid in openids] == [true[0], None, true[3], None]
