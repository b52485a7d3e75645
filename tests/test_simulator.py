"""The simulator answers as WeChat's API is described to, over real HTTP."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from syncjob.simulator import Account, Request, Simulator

NOON = 1_750_000_000.0  # 2025-06-15 23:06:40 in Beijing


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        """Return the unix time."""
        return self.now


class Caller:
    """Asks a served simulator over one keep-alive connection."""

    def __init__(self, simulator: Simulator, clock: Clock, url: str) -> None:
        self.simulator, self.clock, self.url = simulator, clock, url
        self.account = simulator.account
        self.session = requests.Session()
        self.token = ""

    def get(self, endpoint: str, **params: str) -> requests.Response:
        """Call a GET endpoint with the token."""
        params.setdefault("access_token", self.token)
        return self.session.get(f"{self.url}/cgi-bin/{endpoint}", params=params, timeout=5)

    def new_token(self, endpoint: str = "stable_token", **fields: Any) -> dict[str, Any]:
        """Ask a token endpoint; `fields` replace what is right."""
        asked = {
            "grant_type": "client_credential",
            "appid": self.simulator.appid,
            "secret": self.simulator.secret,
        } | fields
        if endpoint == "token":
            answer = self.session.get(f"{self.url}/cgi-bin/token", params=asked, timeout=5)
        else:
            answer = self.session.post(f"{self.url}/cgi-bin/stable_token", json=asked, timeout=5)
        told: dict[str, Any] = answer.json()
        return told

    def page(self, cursor: str | None = None) -> dict[str, Any]:
        """Ask for the page after `cursor`."""
        params = {} if cursor is None else {"next_openid": cursor}
        told: dict[str, Any] = self.get("user/get", **params).json()
        return told

    def batch(self, openids: list[str]) -> requests.Response:
        """Ask batchget about the users."""
        asked = {"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]}
        url = f"{self.url}/cgi-bin/user/info/batchget?access_token={self.token}"
        return self.session.post(url, json=asked, timeout=5)

    def users(self, openids: list[str]) -> list[dict[str, Any]]:
        """Return the entries of a batch that goes well."""
        told: list[dict[str, Any]] = self.batch(openids).json()["user_info_list"]
        return told

    def sweep(self) -> list[str]:
        """Return all OpenIDs, following next_openid until a page is empty."""
        seen: list[str] = []
        page = self.page()
        while page["count"]:
            seen += page["data"]["openid"]
            page = self.page(page["next_openid"])
        return seen


@contextmanager
def calling(account: Account, **switches: Any) -> Iterator[Caller]:
    """Serve the account and yield a caller that has a token."""
    clock = Clock()
    simulator = Simulator(account, clock=clock, **switches)
    with simulator.serving() as url:
        caller = Caller(simulator, clock, url)
        caller.token = caller.new_token()["access_token"]
        with caller.session:
            yield caller


def small(**switches: Any) -> Account:
    """Return an account of ten followers."""
    return Account(followers=10, seed=3, **switches)


def test_a_sweep_finds_every_follower_once() -> None:
    """Following next_openid from page to page yields all followers, then an empty page."""
    with calling(Account(followers=23_000)) as wechat:
        seen = wechat.sweep()
        assert len(seen) == len(set(seen)) == wechat.account.total == 23_000
        assert seen == list(wechat.account.openids())
        assert wechat.simulator.count("user/get") == 4
        assert all(re.fullmatch("o[A-Za-z0-9_-]{27}", openid) for openid in seen)
        assert len({openid[:6] for openid in seen}) == 1


def test_openids_are_case_sensitive() -> None:
    """Some OpenIDs differ in nothing but the case of a letter, and name different people."""
    openids = list(Account(followers=10_000).openids())
    assert len({openid.lower() for openid in openids}) < 10_000


def test_new_followers_stand_anywhere_in_the_list() -> None:
    """Someone new is neither at the end of the list nor at its start as a rule."""
    account = Account(followers=1000)
    new = account.follow(50)
    places = [place for place, openid in enumerate(account.openids()) if openid in new]
    assert len(places) == 50
    assert places[10] < 700
    assert places[40] > 300


def test_the_last_page_names_its_last_openid() -> None:
    """next_openid of the last page is its last OpenID; only the page past it has none."""
    with calling(small()) as wechat:
        page = wechat.page()
        assert page["next_openid"] == page["data"]["openid"][-1]
        assert (
            wechat.get("user/get", next_openid=page["next_openid"]).text
            == '{"total":10,"count":0,"next_openid":""}'
        )


def test_an_account_without_followers_has_the_empty_page() -> None:
    """Page one of an empty account is the page past the end."""
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
    """The switch past_end picks the shape of the page after the last."""
    with calling(small(), past_end=past_end) as wechat:
        assert wechat.page(wechat.page()["next_openid"]) == expected


@pytest.mark.parametrize(("last", "ends"), [("empty", ""), ("space", " "), ("absent", None)])
def test_the_last_cursor_has_variants(last: str, ends: str | None) -> None:
    """The switch last_cursor changes next_openid on the last page, and on no other."""
    with calling(small(), page_size=5, last_cursor=last) as wechat:
        first = wechat.page()
        assert first["next_openid"] == first["data"]["openid"][-1]
        assert wechat.page(first["next_openid"]).get("next_openid") == ends


def test_an_inclusive_cursor_repeats_its_openid() -> None:
    """With the switch cursor=inclusive a page begins with the OpenID that was asked for."""
    with calling(small(), page_size=4, cursor="inclusive") as wechat:
        cursor = wechat.page()["next_openid"]
        assert wechat.page(cursor)["data"]["openid"][0] == cursor


def test_the_cursor_of_someone_who_left_keeps_its_place() -> None:
    """The list goes on behind someone who left in the meantime, or says 40003 if told to."""
    with calling(small(), page_size=4) as wechat:
        everyone = list(wechat.account.openids())
        wechat.account.unfollow(everyone[3])
        assert wechat.page(everyone[3])["data"]["openid"] == everyone[4:8]
        wechat.simulator.switches.unfollowed_cursor = "40003"
        assert wechat.page(everyone[3])["errcode"] == 40003


@pytest.mark.parametrize("cursor", ["nonsense", "o" * 28, "ö" * 28])
def test_a_cursor_that_nobody_had_is_refused(cursor: str) -> None:
    """A malformed or foreign next_openid is 40003, and so is a stranger's."""
    with calling(small()) as wechat:
        assert wechat.page(cursor)["errcode"] == 40003
        assert wechat.page(wechat.account.stranger())["errcode"] == 40003
        twin = next(wechat.account.openids()).swapcase()
        assert wechat.page(twin)["errcode"] == 40003


@pytest.mark.parametrize("loop", ["still", "restart", "page-one"])
def test_a_list_can_be_without_an_end(loop: str) -> None:
    """Each kind of loop keeps a caller that only follows next_openid going."""
    with calling(small(), page_size=5, loop=loop) as wechat:
        cursor, seen = None, []
        for _ in range(7):
            page = wechat.page(cursor)
            cursor = page["next_openid"]
            seen += page["data"]["openid"]
        assert len(seen) == 35


def test_pages_can_lie() -> None:
    """Blank and repeated entries, a wrong count and a wrong total are served on demand."""
    lies = {"blank_entry": True, "repeat_entry": True, "count_off": -2, "total_off": 5}
    with calling(small(), **lies) as wechat:
        page = wechat.page()
        everyone = list(wechat.account.openids())
        assert page["data"]["openid"] == ["", *everyone, everyone[0]]
        assert (page["total"], page["count"]) == (15, 9)


@pytest.mark.parametrize("profiles", ["today", "full", "docs"])
def test_batchget_agrees_with_user_info(profiles: Any) -> None:
    """Both say of a follower what the account holds, in the order asked for."""
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
def test_someone_who_left_has_one_of_four_shapes(shape: Any, keys: list[str]) -> None:
    """An unfollowed user is no error, but an entry with subscribe 0 and few keys."""
    with calling(small(unfollowed=shape)) as wechat:
        openid = wechat.account.openid(4)
        wechat.account.unfollow(openid)
        (user,) = wechat.users([openid])
        assert list(user) == keys
        assert user["subscribe"] == 0
        assert wechat.account.total == 9
        assert openid not in wechat.sweep()


def test_someone_who_comes_back_has_a_new_subscribe_time() -> None:
    """subscribe_time is the last follow, and the OpenID stays the same."""
    account = small()
    openid = account.openid(4)
    before: Any = account.user(openid)["subscribe_time"]
    account.unfollow(openid)
    account.refollow(openid)
    assert openid in set(account.openids())
    assert account.user(openid)["subscribe_time"] > before


@pytest.mark.parametrize("size", [0, 101])
def test_a_batch_holds_1_to_100(size: int) -> None:
    """An empty batch and one of 101 are both 40032, with hint and rid."""
    with calling(Account(followers=101)) as wechat:
        answer = wechat.batch(list(wechat.account.openids())[:size]).json()
        assert answer["errcode"] == 40032
        assert re.fullmatch(
            r"invalid openid list size hint: \[\w+\] rid: 684ee180-[0-9a-f]{8}-[0-9a-f]{8}",
            answer["errmsg"],
        )


def test_one_bad_openid_fails_the_whole_batch() -> None:
    """A malformed, foreign or poisoned OpenID is 40003 for all; a stranger is only unfollowed."""
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


def test_a_stranger_can_shift_the_unionids_behind_it() -> None:
    """With unionid_shift each entry after an unknown OpenID carries its neighbour's unionid."""
    with calling(small(), unionid_shift=True) as wechat:
        openids = list(wechat.account.openids())[:4]
        true = [wechat.account.user(openid)["unionid"] for openid in openids]
        users = wechat.users([openids[0], wechat.account.stranger(), *openids[1:]])
        told = [user.get("unionid") for user in users]
        assert told == [true[0], None, true[2], true[3], None]
        assert [user["unionid"] for user in wechat.users(openids)] == true


def test_batchget_can_be_wrong_where_user_info_is_right() -> None:
    """Blank, forgotten and unionless followers are so in batches only, until cured."""
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


def test_entries_can_come_in_any_order() -> None:
    """With shuffle a batch answers the same entries in another order."""
    with calling(Account(followers=50), shuffle=True) as wechat:
        openids = list(wechat.account.openids())
        told = [user["openid"] for user in wechat.users(openids)]
        assert told != openids
        assert sorted(told) == sorted(openids)


def test_fields_can_be_set_left_out_and_sent_raw() -> None:
    """Overrides take any JSON type, omitted keys are absent, wired bytes arrive as they are."""
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


def test_quirks_reach_the_wire() -> None:
    """Every n-th follower has bytes that a strict JSON parser refuses."""
    account = Account(followers=11, profiles="full", quirk_every=1)
    with calling(account) as wechat:
        body = wechat.batch([account.openid(index) for index in range(11)]).content
        for raw in (b"\x14\xe7\x90\xa6", b"ding\x07dong", "阿黄".encode("gbk"), b"\x5c\x9b"):
            assert raw in body
        with pytest.raises(ValueError, match=r"codec|JSON|char"):
            json.loads(body)


def test_a_classic_token_leaves_its_predecessor_five_minutes() -> None:
    """Each call of token issues a new one; the one before dies 300 s later, as 40001."""
    with calling(small()) as wechat:
        first = wechat.new_token("token")
        wechat.token = first["access_token"]
        assert first["expires_in"] == 7200
        assert re.fullmatch(r"\d\d_[\w-]{133}", wechat.token)
        assert wechat.new_token("token")["access_token"] != wechat.token
        wechat.clock.now += 299
        assert wechat.page()["count"] == 10
        wechat.clock.now += 1
        assert wechat.page()["errcode"] == 40001


def test_the_stable_token_stays_the_same() -> None:
    """stable_token repeats its token with what is left, and a new one in the last 5 minutes."""
    with calling(small()) as wechat:
        wechat.clock.now += 6000
        assert wechat.new_token() == {"access_token": wechat.token, "expires_in": 1200}
        wechat.clock.now += 900
        successor = wechat.new_token()
        assert successor["access_token"] != wechat.token
        assert successor["expires_in"] == 7200
        assert wechat.page()["count"] == 10
        wechat.clock.now += 300
        assert wechat.page()["errcode"] == 42001


def test_the_two_kinds_of_token_do_not_touch_each_other() -> None:
    """A classic token leaves the stable one alone, and the other way about."""
    with calling(small()) as wechat:
        classic = wechat.new_token("token")["access_token"]
        wechat.new_token("stable_token", force_refresh=True)
        wechat.token, stable = classic, wechat.new_token()["access_token"]
        assert wechat.page()["count"] == 10
        wechat.new_token("token")
        wechat.new_token("token")
        assert wechat.page()["errcode"] == 40001
        wechat.token = stable
        assert wechat.page()["count"] == 10


def test_forcing_a_refresh_is_rationed() -> None:
    """force_refresh kills the old token, at most every 30 s and 20 times a day."""
    with calling(small()) as wechat:
        forced = wechat.new_token(force_refresh=True)["access_token"]
        assert wechat.page()["errcode"] == 40001
        wechat.clock.now += 29
        assert wechat.new_token(force_refresh=True)["access_token"] == forced
        tokens = {forced}
        for _ in range(25):
            wechat.clock.now += 30
            tokens.add(wechat.new_token(force_refresh=True)["access_token"])
        assert len(tokens) == 20


def test_bad_tokens_are_told_apart() -> None:
    """Missing is 41001, malformed 40014, unknown or killed 40001, expired 42001."""
    with calling(small(), token_lifetime=60) as wechat:
        good = wechat.token
        errcodes = []
        for token in ("", "garbage", "60_" + "x" * 133):
            wechat.token = token
            errcodes.append(wechat.page()["errcode"])
        assert errcodes == [41001, 40014, 40001]
        wechat.token = good
        wechat.simulator.kill_tokens()
        assert wechat.page()["errmsg"].startswith("invalid credential, access_token is invalid or")
        wechat.token = wechat.new_token()["access_token"]
        assert wechat.token != good
        wechat.clock.now += 60
        assert wechat.page()["errcode"] == 42001


@pytest.mark.parametrize("endpoint", ["token", "stable_token"])
@pytest.mark.parametrize(
    ("wrong", "errcode"),
    [
        ({"appid": "wx0"}, 40013),
        ({"secret": "0"}, 40125),
        ({"appid": ""}, 41002),
        ({"secret": ""}, 41004),
        ({"grant_type": "password"}, 40002),
    ],
)
def test_wrong_credentials_are_refused(endpoint: str, wrong: dict[str, str], errcode: int) -> None:
    """Each wrong part of the credentials has its own errcode, at both token endpoints."""
    with calling(small()) as wechat:
        assert wechat.new_token(endpoint, **wrong)["errcode"] == errcode


def test_an_intruder_takes_the_token_away() -> None:
    """With intruder_every=2 a token is good for two calls."""
    with calling(small(), intruder_every=2) as wechat:
        for _ in range(3):
            assert [wechat.page().get("errcode") for _ in range(3)] == [None, None, 40001]
            wechat.token = wechat.new_token()["access_token"]


def test_people_come_and_go_between_calls() -> None:
    """join_every and leave_every change the population as calls go by."""
    with calling(small(), join_every=1, leave_every=3) as wechat:
        assert [wechat.page()["total"] for _ in range(7)] == [10, 11, 12, 12, 13, 14, 14]


def test_a_daily_quota_lasts_until_midnight_in_beijing() -> None:
    """45009 from the quota on, calls of other programs included, and right again next day."""
    with calling(small(), daily_quota={"user/get": 3}) as wechat:
        wechat.simulator.spend_quota("user/get", 1)
        assert [wechat.page().get("errcode") for _ in range(3)] == [None, None, 45009]
        assert "errcode" not in wechat.batch([wechat.account.openid(0)]).json()
        wechat.clock.now += 3199
        assert wechat.page()["errcode"] == 45009
        wechat.clock.now += 1
        assert "errcode" not in wechat.page()


def test_a_minute_quota_lasts_a_minute() -> None:
    """45011 for the rest of the minute."""
    with calling(small(), minute_quota={"user/get": 1}) as wechat:
        assert [wechat.page().get("errcode") for _ in range(2)] == [None, 45011]
        wechat.clock.now += 60
        assert "errcode" not in wechat.page()


def test_a_fault_hits_the_calls_it_names() -> None:
    """Calls count from 1 by endpoint; cleared faults are gone, and records tell which hit."""
    with calling(small()) as wechat:
        wechat.simulator.faults.add("user/get=-1@2-3")
        wechat.simulator.faults.add("user/get=40001@5-")
        wechat.simulator.faults.add("user/info=48001")
        told = [wechat.page().get("errcode") for _ in range(6)]
        assert told == [None, -1, -1, None, 40001, 40001]
        assert wechat.get("user/info").json()["errcode"] == 48001
        wechat.simulator.faults.clear()
        assert "errcode" not in wechat.page()
        recorded = wechat.simulator.requests
        assert recorded[0] == Request(
            "stable_token", {"grant_type": "client_credential", "appid": wechat.simulator.appid}
        )
        assert recorded[2] == Request("user/get", {}, (), -1, "user/get=-1@2-3")
        assert wechat.simulator.count("user/get") == 7


@pytest.mark.parametrize(
    ("what", "status", "pattern"),
    [
        ("html", 200, rb"<html>.*"),
        ("http-502", 502, rb"<html>.*"),
        ("empty", 200, rb""),
        ("cut", 200, rb'\{"total":10,"count":10,.*[^}]'),
        ("garbage", 200, rb"\x00.*"),
        ("bom", 200, rb'\xef\xbb\xbf\{"total":10,.*\}'),
        ("zero-errcode", 200, rb'\{"errcode":0,"errmsg":"ok","total":10,.*\}'),
        ("string-0", 200, rb'\{"errcode":"0","errmsg":"ok","total":10,.*\}'),
        ("string-errcode", 200, rb'\{"errcode":"-1",.*\}'),
        ("string-45011", 200, rb'\{"errcode":"45011",.*\}'),
        ("12345", 200, rb'\{"errcode":12345,.*\}'),
    ],
)
def test_an_answer_can_be_spoilt(what: str, status: int, pattern: bytes) -> None:
    """Each kind of fault changes status or body in its own way."""
    with calling(small()) as wechat:
        wechat.simulator.faults.add(f"*={what}")
        answer = wechat.get("user/get")
        assert answer.status_code == status
        assert re.fullmatch(pattern, answer.content, re.DOTALL)


def test_an_answer_can_be_late_torn_or_missing() -> None:
    """A slow answer is right, a torn one breaks off, a dropped or hanging one never comes."""
    with calling(small()) as wechat:
        wechat.simulator.faults.add("user/get=slow-30@1")
        wechat.simulator.faults.add("user/get=tear@2")
        wechat.simulator.faults.add("user/get=drop@3")
        wechat.simulator.faults.add("user/get=text-plain@4")
        wechat.simulator.faults.add("user/get=hang@5")
        assert wechat.get("user/get").elapsed.total_seconds() >= 0.03
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            wechat.get("user/get")
        with pytest.raises(requests.exceptions.ConnectionError):
            wechat.get("user/get")
        assert wechat.get("user/get").headers["Content-Type"] == "text/plain"
        with pytest.raises(requests.exceptions.ReadTimeout):
            wechat.session.get(f"{wechat.url}/cgi-bin/user/get", timeout=0.05)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "user/get",
        "user/get=",
        "user/get=nonsense",
        "tags/get=-1",
        "user/get=-1@",
        "user/get=-1@0",
        "user/get=-1@5-3",
        "user/get=-1@x",
        "user/get=http-20",
    ],
)
def test_a_malformed_fault_is_refused(spec: str) -> None:
    """A spec that cannot be read is a ValueError that quotes it."""
    with pytest.raises(ValueError, match=re.escape(repr(spec))):
        Simulator(small()).faults.add(spec)


@pytest.mark.parametrize(
    "wrong",
    [{"page_size": 0}, {"intruder_every": -1}, {"loop": "x"}, {"daily_quota": {"tags/get": 1}}],
)
def test_a_switch_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """A wrong value is a ValueError when the simulator is made."""
    with pytest.raises(ValueError, match=r"must be|cannot be|no endpoint"):
        Simulator(small(), **wrong)


def test_requests_in_the_wrong_form_are_refused() -> None:
    """Form bodies are 47001, empty ones 44002, GET is 43002, unknown paths are 40066."""
    with calling(small()) as wechat:
        url = f"{wechat.url}/cgi-bin/user/info/batchget?access_token={wechat.token}"
        assert wechat.session.post(url, data={"user_list": "[]"}).json()["errcode"] == 47001
        assert wechat.session.post(url).json()["errcode"] == 44002
        assert wechat.session.get(url).json()["errcode"] == 43002
        assert wechat.get("stable_token").json()["errcode"] == 43002
        assert wechat.get("user/nothing").json()["errcode"] == 40066


def test_a_chunked_post_is_refused() -> None:
    """A POST without Content-Length is 412 with an empty body, and the connection lives on."""
    with calling(small()) as wechat:
        for endpoint in ("stable_token", "user/info/batchget"):
            url = f"{wechat.url}/cgi-bin/{endpoint}?access_token={wechat.token}"
            answer = wechat.session.post(url, data=iter([b"{", b"}"]))
            assert (answer.status_code, answer.content) == (412, b"")
        assert wechat.page()["count"] == 10


def test_answers_look_like_wechats() -> None:
    """Headers say encoding=utf-8 and keep-alive; the body is compact and of known length."""
    with calling(small()) as wechat:
        answer = wechat.get("user/get", next_openid="bad")
        assert answer.headers["Content-Type"] == "application/json; encoding=utf-8"
        assert answer.headers["Connection"] == "keep-alive"
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        assert re.fullmatch(
            r'\{"errcode":40003,"errmsg":"invalid openid hint: \[\w+\] rid: [-0-9a-f]{26}"\}',
            answer.text,
        )


def test_pipelined_and_split_requests_are_answered_in_order() -> None:
    """Bytes may arrive in any portions; a late first answer still comes before the second."""
    with calling(small()) as wechat:
        wechat.simulator.faults.add("*=slow-30@2")
        host, port = wechat.url.removeprefix("http://").split(":")
        first, second = (
            f"GET /cgi-bin/{endpoint} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()
            for endpoint, more in (("nothing", ""), ("user/get", "Connection: close\r\n"))
        )
        arrived = threading.Event()
        wechat.simulator.on_request = lambda _request: arrived.set()
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            plain.sendall(first[:10])
            plain.sendall(first[10:])
            assert arrived.wait(5)
            plain.sendall(second)
            told = plain.makefile("rb").read()
        assert re.findall(rb'"errcode":(\d+)', told) == [b"40066", b"41001"]


def test_on_request_runs_before_the_answer() -> None:
    """A test may change the account in the middle of a sweep; what it raises is not lost."""

    def leave(request: Request) -> None:
        if request.params.get("next_openid"):
            wechat.account.unfollow(last)
        if request.endpoint == "user/info":
            raise RuntimeError("told so")

    with pytest.raises(RuntimeError, match="told so"), calling(small(), page_size=5) as wechat:
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


def test_millions_of_followers_cost_no_memory() -> None:
    """An account of five million is made at once, and any of them is found by OpenID."""
    account = Account(followers=5_000_000, profiles="full")
    assert account.total == 5_000_000
    for index in (0, 2_500_000, 4_999_999):
        assert account.find(account.openid(index)) == index
    openids, _ = account.page(0, 100)
    assert len({account.user(openid)["unionid"] for openid in openids}) == 100


def test_counts_are_kept_when_calls_are_not_recorded() -> None:
    """record=False keeps the counts and no list."""
    with calling(small(), record=False) as wechat:
        wechat.page()
        assert wechat.simulator.requests == []
        assert wechat.simulator.counts == {"stable_token": 1, "user/get": 1}
