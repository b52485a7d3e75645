"""The simulator's profiles: batches and single users, in every known shape."""

import json
import re
from typing import Any

import pytest

from syncjob.simulator import Account
from tests.simulator_calls import calling, small


@pytest.mark.parametrize("profiles", ["today", "full", "docs"])
def test_batchget_agrees_with_user_info(profiles: Any) -> None:
    """Both return the account's profile of a follower, in the order of the request."""
    with calling(Account(followers=100, profiles=profiles)) as wechat:
        openids = list(wechat.account.openids())
        users = wechat.users(openids)
        assert users == [wechat.account.user(openid) for openid in openids]
        assert users[7] == wechat.get("user/info", openid=openids[7]).json()
        assert {user["subscribe"] for user in users} == {1}
        assert any(user.get("nickname") for user in users) == (profiles == "full")
        assert all(("nickname" in user) == (profiles != "docs") for user in users)


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        ("docs", ["subscribe", "openid"]),
        ("docs-2015", ["subscribe", "openid", "unionid"]),
        ("wire-2020", ["subscribe", "openid", "tagid_list"]),
        (
            "wire-2025",
            [
                "subscribe",
                "openid",
                "nickname",
                "sex",
                "language",
                "city",
                "province",
                "country",
                "headimgurl",
                "tagid_list",
            ],
        ),
    ],
)
def test_an_unfollowed_user_has_one_of_four_shapes(shape: Any, keys: list[str]) -> None:
    """An unfollowed user is not an error, but an entry with subscribe 0 and few keys."""
    with calling(small(unfollowed=shape)) as wechat:
        openid = wechat.account.openid(4)
        wechat.account.unfollow(openid)
        (user,) = wechat.users([openid])
        assert list(user) == keys
        assert user["subscribe"] == 0
        assert wechat.account.total == 9
        assert openid not in wechat.sweep()


def test_a_refollow_has_a_new_subscribe_time() -> None:
    """subscribe_time is the last follow; the OpenID stays the same."""
    account = small()
    openid = account.openid(4)
    before: Any = account.user(openid)["subscribe_time"]
    account.unfollow(openid)
    account.refollow(openid)
    assert openid in set(account.openids())
    assert account.user(openid)["subscribe_time"] > before


@pytest.mark.parametrize("size", [0, 101])
def test_a_batch_has_1_to_100_openids(size: int) -> None:
    """An empty batch and a batch of 101 are both 40032, with hint and rid."""
    with calling(Account(followers=101)) as wechat:
        answer = wechat.batch(list(wechat.account.openids())[:size]).json()
        assert answer["errcode"] == 40032
        assert re.fullmatch(
            r"invalid openid list size hint: \[\w+\] rid: 684ee180-[0-9a-f]{8}-[0-9a-f]{8}",
            answer["errmsg"],
        )


def test_one_bad_openid_fails_the_whole_batch() -> None:
    """A malformed, foreign or poisoned OpenID is 40003 for all; an unknown one is unfollowed."""
    with calling(small()) as wechat:
        good = wechat.account.openid(0)
        foreign = Account(followers=1, seed=99).openid(0)
        wechat.account.poison(wechat.account.openid(1))
        for bad in ("[" + good, foreign, "", wechat.account.openid(1)):
            assert wechat.batch([good, bad]).json()["errcode"] == 40003
        stranger = wechat.account.stranger()
        users = wechat.users([stranger, good])
        assert [user["subscribe"] for user in users] == [0, 1]
        assert wechat.get("user/info", openid=foreign).json()["errcode"] == 40003


def test_an_unknown_openid_can_shift_the_unionids_of_later_entries() -> None:
    """With unionid_shift, each entry after an unknown OpenID has the next entry's unionid."""
    with calling(small(), unionid_shift=True) as wechat:
        openids = list(wechat.account.openids())[:4]
        true = [wechat.account.user(openid)["unionid"] for openid in openids]
        users = wechat.users([openids[0], wechat.account.stranger(), *openids[1:]])
        unionids = [user.get("unionid") for user in users]
        assert unionids == [true[0], None, true[2], true[3], None]
        assert [user["unionid"] for user in wechat.users(openids)] == true


def test_batchget_can_be_wrong_while_user_info_is_right() -> None:
    """Blank, forgotten and unionless followers are so only in batches, until cured."""
    with calling(small(), repeat_user=True) as wechat:
        account = wechat.account
        plain, blank, lost, unionless = (account.openid(index) for index in range(4))
        account.blank(blank)
        account.forget(lost)
        account.hide_unionid(unionless)
        users = wechat.users([plain, blank, lost, unionless])
        assert [user["openid"] for user in users] == [plain, blank, unionless, plain]
        assert [user["subscribe"] for user in users] == [1, 0, 1, 1]
        assert ["unionid" in user for user in users] == [True, False, False, True]
        for openid in (blank, lost, unionless):
            assert wechat.get("user/info", openid=openid).json() == account.user(openid)
            account.cure(openid)
        assert wechat.users([lost, blank])[:2] == [account.user(lost), account.user(blank)]


def test_shuffle_changes_the_order_of_entries() -> None:
    """With shuffle, a batch has the same entries in another order."""
    with calling(Account(followers=50), shuffle=True) as wechat:
        openids = list(wechat.account.openids())
        answered = [user["openid"] for user in wechat.users(openids)]
        assert answered != openids
        assert sorted(answered) == sorted(openids)


def test_fields_can_be_set_omitted_and_sent_raw() -> None:
    """Overrides take any JSON type, omitted keys are absent, wired bytes are sent unchanged."""
    with calling(small()) as wechat:
        account, openid = wechat.account, wechat.account.openid(2)
        account.override(openid, sex="1", remark="老王 😀", nickname="\ud83d")
        account.omit(openid, "unionid")
        account.wire(openid, {"city": b'"\xb9\xe3\\"', "province": b'"\x14\x07"'})
        body = wechat.batch([openid]).content
        assert b'"city":"\xb9\xe3\\"' in body
        assert b'"province":"\x14\x07"' in body
        assert rb'"nickname":"\ud83d"' in body
        assert b'"sex":"1"' in body
        assert "老王 😀".encode() in body
        assert b"unionid" not in body
        assert account.user(openid)["city"] == b'"\xb9\xe3\\"'
        assert account.user(openid)["province"] == "\x14\x07"


def test_quirks_are_sent() -> None:
    """Every n-th follower has bytes that a strict JSON parser rejects."""
    account = Account(followers=11, profiles="full", quirk_every=1)
    with calling(account) as wechat:
        body = wechat.batch([account.openid(index) for index in range(11)]).content
        for raw in (b"\x14\xe7\x90\xa6", b"ding\x07dong", "阿黄".encode("gbk"), b"\x5c\x9b"):
            assert raw in body
        with pytest.raises(ValueError, match=r"codec|JSON|char"):
            json.loads(body)
