"""The simulator's followers over time: follow periods, and their effect on the list."""

import json
from typing import Any

import pytest

from syncjob.simulator import Account, Simulator
from tests.simulator_calls import NOON, Clock, calling, small


def lag(account: Account) -> tuple[str, str]:
    """Hide a follower, keep an unfollowed user in the list, and return both."""
    hidden, lingering = account.openid(2), account.openid(7)
    account.hide(hidden)
    account.linger(lingering)
    account.unfollow(lingering)
    return hidden, lingering


def test_follow_periods_are_exact() -> None:
    """Each follow and unfollow has the time of the account's clock."""
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
    assert account.periods(new) == [(int(NOON) + 110, NOON + 110.5)], (
        "a second unfollow has no effect"
    )


def test_a_simulator_sets_the_clock_of_its_account() -> None:
    """A given clock dates the follows; without one the account's own clock does."""
    clock, other = Clock(), Clock()
    other.now += 500
    account = Account(clock=clock)
    Simulator(account)
    assert account.periods(account.follow()[0]) == [(int(NOON), None)]
    Simulator(account, clock=other)
    assert account.periods(account.follow()[0]) == [(int(NOON) + 500, None)]


def test_the_list_can_lag_behind() -> None:
    """A hidden follower and a lingering unfollowed user are wrong only in the list."""
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


def test_hide_and_linger_survive_unfollow_and_refollow() -> None:
    """A hidden user stays hidden, and a lingering one listed, until `show`."""
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
    """A cut list ends like any other; total is unchanged."""
    with calling(small(), page_size=4, list_cut=cut) as wechat:
        everyone = list(wechat.account.openids())
        assert wechat.sweep() == everyone[:cut]
        assert wechat.page()["total"] == 10
        past = wechat.page(everyone[-1])
        assert (past["count"], past["next_openid"]) == (0, "")


@pytest.mark.parametrize(("cut", "total"), [(None, 8), (4, 4), (9, 8)])
def test_total_can_be_cut_with_the_list(cut: int | None, total: int) -> None:
    """With total_cut, total counts the listed users, in a cut or lagging list."""
    with calling(small(), list_cut=cut, total_cut=True, past_end="empty-data") as wechat:
        for index in (1, 2):
            wechat.account.hide(wechat.account.openid(index))
        assert wechat.page()["total"] == total
        assert len(wechat.sweep()) == total


def test_the_last_page_of_a_cut_list_is_a_last_page() -> None:
    """last_cursor applies to the page at which the list is cut."""
    with calling(small(), page_size=4, list_cut=8, last_cursor="empty") as wechat:
        first = wechat.page()
        assert wechat.page(first["next_openid"])["next_openid"] == ""


def test_a_negative_cut_is_refused() -> None:
    """A list cannot end before its beginning."""
    with pytest.raises(ValueError, match="list_cut"):
        Simulator(small(), list_cut=-1)


def test_a_garbled_follower_makes_bodies_invalid() -> None:
    """A garbled follower makes batchget and user/info invalid JSON, until cured or unfollowed."""
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
def test_shifted_unionids_leave_the_body_valid(shape: Any) -> None:
    """The last entry of a shifted batch has no unionid, whatever the order of its keys."""
    with calling(small(unfollowed=shape), shift_after_lost=True) as wechat:
        openids = [wechat.account.openid(n) for n in (0, 1)]
        for openid in openids:
            wechat.account.unfollow(openid)
        users = wechat.users(openids)
        assert [user["subscribe"] for user in users] == [0, 0]
        assert "unionid" not in users[1]


@pytest.mark.parametrize("lost", ["unfollow", "blank", "forget"])
def test_a_lost_user_can_shift_the_unionids_of_later_entries(lost: str) -> None:
    """With shift_after_lost, an unfollowed or missing user has the effect of an unknown one."""
    with calling(small(), shift_after_lost=True) as wechat:
        openids = list(wechat.account.openids())[:4]
        true = [wechat.account.user(openid)["unionid"] for openid in openids]
        assert [user["unionid"] for user in wechat.users(openids)] == true
        getattr(wechat.account, lost)(openids[1])
        unionids = {user["openid"]: user.get("unionid") for user in wechat.users(openids)}
        assert [unionids.get(openid) for openid in openids] == [true[0], None, true[3], None]
