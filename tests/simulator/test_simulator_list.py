"""The simulator's follower list: pages, cursors and entries, over HTTP."""

import re
from typing import Any

import pytest
import requests

from syncjob.simulator import Account, Request, Simulator
from tests.simulator_calls import calling, small


def test_a_sweep_finds_every_follower_once() -> None:
    """Following next_openid yields all followers, then an empty page."""
    with calling(Account(followers=23_000)) as wechat:
        seen = wechat.sweep()
        assert len(seen) == len(set(seen)) == wechat.account.total == 23_000
        assert seen == list(wechat.account.openids())
        assert wechat.simulator.count("user/get") == 4
        assert all(re.fullmatch("o[A-Za-z0-9_-]{27}", openid) for openid in seen)
        assert len({openid[:6] for openid in seen}) == 1


def test_openids_are_case_sensitive() -> None:
    """Some OpenIDs differ only in the case of a letter."""
    openids = list(Account(followers=10_000).openids())
    assert len({openid.lower() for openid in openids}) < 10_000


def test_new_followers_appear_anywhere_in_the_list() -> None:
    """New followers are spread over the whole list."""
    account = Account(followers=1000)
    new = account.follow(50)
    places = [place for place, openid in enumerate(account.openids()) if openid in new]
    assert len(places) == 50
    assert places[10] < 700
    assert places[40] > 300


def test_the_last_page_names_its_last_openid() -> None:
    """next_openid of the last page is its last OpenID; only the page past the end has none."""
    with calling(small()) as wechat:
        page = wechat.page()
        assert page["next_openid"] == page["data"]["openid"][-1]
        assert (
            wechat.get("user/get", next_openid=page["next_openid"]).text
            == '{"total":10,"count":0,"next_openid":""}'
        )


def test_an_account_without_followers_has_an_empty_page() -> None:
    """The first page of an empty account is the page past the end."""
    with calling(Account()) as wechat:
        assert wechat.page() == {"total": 0, "count": 0, "next_openid": ""}


@pytest.mark.parametrize(
    ("past_end", "expected"),
    [
        ("empty-data", {"total": 10, "count": 0, "data": {}, "next_openid": ""}),
        ("null-data", {"total": 10, "count": 0, "data": None, "next_openid": ""}),
        ("null-openid", {"total": 10, "count": 0, "data": {"openid": None}, "next_openid": ""}),
        ("empty-openid", {"total": 10, "count": 0, "data": {"openid": []}, "next_openid": ""}),
        ("no-total", {"count": 0, "next_openid": ""}),
    ],
)
def test_the_page_past_the_end_has_variants(past_end: str, expected: dict[str, Any]) -> None:
    """The switch past_end selects the shape of the page past the end."""
    with calling(small(), past_end=past_end) as wechat:
        assert wechat.page(wechat.page()["next_openid"]) == expected


@pytest.mark.parametrize(("last", "ends"), [("empty", ""), ("space", " "), ("absent", None)])
def test_the_last_cursor_has_variants(last: str, ends: str | None) -> None:
    """The switch last_cursor changes next_openid only on the last page."""
    with calling(small(), page_size=5, last_cursor=last) as wechat:
        first = wechat.page()
        assert first["next_openid"] == first["data"]["openid"][-1]
        assert wechat.page(first["next_openid"]).get("next_openid") == ends


def test_an_inclusive_cursor_repeats_its_openid() -> None:
    """With cursor=inclusive, a page begins with the OpenID of the cursor."""
    with calling(small(), page_size=4, cursor="inclusive") as wechat:
        cursor = wechat.page()["next_openid"]
        assert wechat.page(cursor)["data"]["openid"][0] == cursor


def test_the_cursor_of_an_unfollowed_user_keeps_its_position() -> None:
    """The list continues after a user who left, or answers 40003 if switched so."""
    with calling(small(), page_size=4) as wechat:
        everyone = list(wechat.account.openids())
        wechat.account.unfollow(everyone[3])
        assert wechat.page(everyone[3])["data"]["openid"] == everyone[4:8]
        wechat.simulator.switches.unfollowed_cursor = "40003"
        assert wechat.page(everyone[3])["errcode"] == 40003


@pytest.mark.parametrize("cursor", ["nonsense", "o" * 28, "ö" * 28])
def test_an_unknown_cursor_is_rejected(cursor: str) -> None:
    """A malformed, foreign or unknown next_openid is 40003."""
    with calling(small()) as wechat:
        assert wechat.page(cursor)["errcode"] == 40003
        assert wechat.page(wechat.account.stranger())["errcode"] == 40003
        twin = next(wechat.account.openids()).swapcase()
        assert wechat.page(twin)["errcode"] == 40003


@pytest.mark.parametrize("loop", ["still", "restart", "page-one"])
def test_a_list_can_be_endless(loop: str) -> None:
    """With each kind of loop, following next_openid never ends."""
    with calling(small(), page_size=5, loop=loop) as wechat:
        cursor, seen = None, []
        for _ in range(7):
            page = wechat.page(cursor)
            cursor = page["next_openid"]
            seen += page["data"]["openid"]
        assert len(seen) == 35


def test_pages_can_be_wrong() -> None:
    """Switches add blank and repeated entries, a wrong count and a wrong total."""
    wrong = {"blank_entry": True, "repeat_entry": True, "count_off": -2, "total_off": 5}
    with calling(small(), **wrong) as wechat:
        page = wechat.page()
        everyone = list(wechat.account.openids())
        assert page["data"]["openid"] == ["", *everyone, everyone[0]]
        assert (page["total"], page["count"]) == (15, 9)


def test_users_follow_and_unfollow_between_calls() -> None:
    """join_every and leave_every change the followers after every n calls."""
    with calling(small(), join_every=1, leave_every=3) as wechat:
        assert [wechat.page()["total"] for _ in range(7)] == [10, 11, 12, 12, 13, 14, 14]


def test_on_request_runs_before_the_answer() -> None:
    """It may change the account during a sweep; its exception is raised at the end."""

    def leave(request: Request) -> None:
        if request.params.get("next_openid"):
            wechat.account.unfollow(last)
        if request.endpoint == "user/info":
            raise RuntimeError("from on_request")

    with (
        pytest.raises(RuntimeError, match="from on_request"),
        calling(small(), page_size=5) as wechat,
    ):
        last = list(wechat.account.openids())[-1]
        wechat.simulator.on_request = leave
        assert len(wechat.sweep()) == 9
        with pytest.raises(requests.exceptions.ConnectionError):
            wechat.get("user/info")


def test_the_same_seed_makes_the_same_account() -> None:
    """Followers, credentials and tokens are a function of the seed."""
    one, two, other = (Simulator(Account(followers=50, seed=seed)) for seed in (1, 1, 2))
    assert list(one.account.openids()) == list(two.account.openids())
    assert list(one.account.openids()) != list(other.account.openids())
    assert (one.appid, one.secret) == (two.appid, two.secret)
    assert re.fullmatch("wx[0-9a-f]{16} [0-9a-f]{32}", f"{one.appid} {one.secret}")
    assert one.appid != other.appid


def test_millions_of_followers_need_no_memory() -> None:
    """An account of five million is created at once, and any user is found by OpenID."""
    account = Account(followers=5_000_000, profiles="full")
    assert account.total == 5_000_000
    for index in (0, 2_500_000, 4_999_999):
        assert account.find(account.openid(index)) == index
    openids, _ = account.page(0, 100)
    assert len({account.user(openid)["unionid"] for openid in openids}) == 100
