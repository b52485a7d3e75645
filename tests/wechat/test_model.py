"""The parsing of WeChat's JSON in every known shape."""

from typing import Any

import pytest
from msgspec.structs import replace

from syncjob.model.replies import AccessToken, FollowerPage, MalformedReply
from syncjob.model.user_info import UserInfo, user_infos_from_json

FIRST, SECOND = "oCFBU6first_0000000000000001", "oCFBU6second-000000000000002"


def page(openids: tuple[str, ...], next_openid: str, total: int | None) -> FollowerPage:
    """Return the expected page."""
    return FollowerPage(openids, next_openid, total)


PAGES: dict[str, tuple[dict[str, Any], FollowerPage]] = {
    "a page": (
        {"total": 2, "count": 2, "data": {"openid": [FIRST, SECOND]}, "next_openid": SECOND},
        page((FIRST, SECOND), SECOND, 2),
    ),
    "past the end": ({"total": 2, "count": 0, "next_openid": ""}, page((), "", 2)),
    "past the end, total left out": ({"count": 0, "next_openid": ""}, page((), "", None)),
    "past the end, data empty": (
        {"total": 2, "count": 0, "data": {}, "next_openid": ""},
        page((), "", 2),
    ),
    "past the end, data null": (
        {"total": 2, "count": 0, "data": None, "next_openid": None},
        page((), "", 2),
    ),
    "past the end, openid null": (
        {"total": 2, "count": 0, "data": {"openid": None}, "next_openid": ""},
        page((), "", 2),
    ),
    "a space for no cursor": (
        {"total": 1, "count": 1, "data": {"openid": [FIRST]}, "next_openid": " "},
        page((FIRST,), "", 1),
    ),
    "no cursor at all": (
        {"total": 1, "count": 1, "data": {"openid": [FIRST]}},
        page((FIRST,), "", 1),
    ),
    "a blank entry, as in the old documentation": (
        {
            "total": 2,
            "count": 2,
            "data": {"openid": ["", FIRST, " ", SECOND]},
            "next_openid": SECOND,
        },
        page((FIRST, SECOND), SECOND, 2),
    ),
    "a repeated entry and a count that does not match": (
        {"total": 9, "count": 7, "data": {"openid": [FIRST, SECOND, FIRST]}, "next_openid": FIRST},
        page((FIRST, SECOND), FIRST, 9),
    ),
    "numbers as strings": (
        {"total": "2", "count": "1", "data": {"openid": [FIRST]}, "next_openid": FIRST},
        page((FIRST,), FIRST, 2),
    ),
    "errcode 0 beside the data": (
        {"errcode": 0, "errmsg": "ok", "total": 0, "count": 0, "next_openid": ""},
        page((), "", 0),
    ),
}


@pytest.mark.parametrize(("body", "read"), PAGES.values(), ids=PAGES.keys())
def test_a_page_is_parsed_in_every_shape(body: dict[str, Any], read: FollowerPage) -> None:
    """Each known shape of user/get's answer yields OpenIDs, cursor and total."""
    assert FollowerPage.from_json(body) == read


def test_invalid_openids_are_skipped_and_counted() -> None:
    """Entries of another type or that no column can hold are counted; blanks and repeats not."""
    listed = [FIRST, 7, None, ["o"], "a\0b", "a\ud83d", "", FIRST]
    read = FollowerPage.from_json({"data": {"openid": listed}, "next_openid": FIRST})
    assert (read.openids, read.skipped) == ((FIRST,), 5)


def test_openids_keep_their_order_and_their_case() -> None:
    """The order of the list is kept, and OpenIDs that differ in case are different."""
    listed = [SECOND, FIRST, FIRST.upper()]
    assert FollowerPage.from_json({"data": {"openid": listed}}).openids == tuple(listed)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"errcode": 0, "errmsg": "ok"},
        {"user_info_list": []},
        {"data": [FIRST]},
        {"data": "nothing"},
        {"data": {"openid": FIRST}},
        {"data": {"openid": {FIRST: 1}}},
        {"data": {"openid": [FIRST]}, "next_openid": 7},
        {"data": {"openid": [FIRST]}, "next_openid": [FIRST]},
    ],
)
def test_a_malformed_page_is_not_the_end_of_the_list(body: dict[str, Any]) -> None:
    """An answer without the shape of a page is malformed, so that it is requested again."""
    with pytest.raises(MalformedReply) as caught:
        FollowerPage.from_json(body)
    assert FIRST not in str(caught.value)


FULL = {
    "subscribe": 1,
    "openid": FIRST,
    "nickname": "老王 😀",
    "sex": 1,
    "language": "zh_CN",
    "city": "广州",
    "province": "广东",
    "country": "中国",
    "headimgurl": "http://thirdwx.qlogo.cn/mmopen/x/132",
    "subscribe_time": 1434093047,
    "unionid": "oR5GjjgEhCMJFyzaVZdrxZ2zRRF4",
    "remark": "VIP",
    "groupid": 0,
    "tagid_list": [128, 2],
    "subscribe_scene": "ADD_SCENE_QR_CODE",
    "qr_scene": 4294967295,
    "qr_scene_str": "",
}
READ = UserInfo(
    openid=FIRST,
    subscribe=1,
    nickname="老王 😀",
    sex=1,
    language="zh_CN",
    city="广州",
    province="广东",
    country="中国",
    headimgurl="http://thirdwx.qlogo.cn/mmopen/x/132",
    subscribe_time=1434093047,
    unionid="oR5GjjgEhCMJFyzaVZdrxZ2zRRF4",
    remark="VIP",
    groupid=0,
    tagid_list=[128, 2],
    subscribe_scene="ADD_SCENE_QR_CODE",
    qr_scene=4294967295,
    qr_scene_str="",
)
EMPTIED: dict[str, Any] = dict.fromkeys(
    ("nickname", "city", "province", "country", "headimgurl"), ""
)
ABSENT: dict[str, Any] = dict.fromkeys(EMPTIED)
LEFT = {"subscribe": 0, "openid": FIRST}
GONE = UserInfo(openid=FIRST, subscribe=0)


ENTRIES: dict[str, tuple[dict[str, Any], UserInfo]] = {
    "before 2021": (FULL, READ),
    "numbers as strings, as the sns endpoints send them": (
        FULL | {"subscribe": "1", "sex": "1", "subscribe_time": "1434093047", "tagid_list": ["2"]},
        replace(READ, tagid_list=[2]),
    ),
    "since 2021-12-27": (
        FULL | EMPTIED | {"sex": 0},
        replace(READ, **EMPTIED, sex=0),
    ),
    "as documented today": (
        {name: value for name, value in FULL.items() if name not in (*EMPTIED, "sex")},
        replace(READ, **ABSENT, sex=None),
    ),
    "without unionid and scene, as before 2018": (
        {name: FULL[name] for name in ("subscribe", "openid", "nickname", "remark")},
        UserInfo(openid=FIRST, subscribe=1, nickname="老王 😀", remark="VIP"),
    ),
    "gone, documentation of 2015": (LEFT | {"unionid": "u"}, replace(GONE, unionid="u")),
    "gone, documentation of today": (LEFT, GONE),
    "gone, 2020": (LEFT | {"tagid_list": []}, replace(GONE, tagid_list=[])),
    "gone, 2025": (
        LEFT | EMPTIED | {"sex": 0, "language": "zh_CN", "tagid_list": []},
        replace(GONE, **EMPTIED, sex=0, language="zh_CN", tagid_list=[]),
    ),
    "nothing but its OpenID": ({"openid": FIRST}, UserInfo(openid=FIRST)),
    "null everywhere": (dict.fromkeys(FULL) | {"openid": FIRST}, UserInfo(openid=FIRST)),
    "wrong types everywhere": (
        {name: {"a": [1]} for name in FULL} | {"openid": FIRST},
        UserInfo(openid=FIRST),
    ),
}


@pytest.mark.parametrize(("entry", "read"), ENTRIES.values(), ids=ENTRIES.keys())
def test_a_user_is_parsed_in_every_shape(entry: dict[str, Any], read: UserInfo) -> None:
    """Each known shape of an entry is parsed; an absent field is None, an empty one is ""."""
    assert user_infos_from_json({"user_info_list": [entry]}) == [read]


FIELDS: list[tuple[str, object, object]] = [
    ("subscribe", 2, None),
    ("subscribe", True, 1),
    ("nickname", "a\0b", "ab"),
    ("nickname", "\0", ""),
    ("nickname", "a\ud83db", "ab"),
    ("nickname", "\x07\x14我", "\x07\x14我"),
    ("nickname", 17, None),
    ("sex", 32767, 32767),
    ("sex", 32768, None),
    ("sex", "female", None),
    ("groupid", 2**63 - 1, 2**63 - 1),
    ("groupid", 2**63, None),
    ("qr_scene", -(2**63) - 1, None),
    ("qr_scene", "9" * 5000, None),
    ("qr_scene", float("inf"), None),
    ("qr_scene", float("nan"), None),
    ("qr_scene", 3.0, 3),
    ("subscribe_time", 0, None),
    ("subscribe_time", -1, None),
    ("subscribe_time", 253402300800, None),
    ("subscribe_time", 10**12, None),
    ("subscribe_time", 10**17, None),
    ("subscribe_time", "yesterday", None),
    ("subscribe_time", 253402300799, 253402300799),
    ("tagid_list", [1, "2", None, {}, 2**63], [1, 2]),
    ("tagid_list", "1,2", None),
    ("tagid_list", None, None),
    ("subscribe_scene", "ADD_SCENEPROFILE LINK", "ADD_SCENEPROFILE LINK"),
]


@pytest.mark.parametrize(("name", "sent", "read"), FIELDS)
def test_a_value_that_no_column_can_hold_is_cleaned_or_absent(
    name: str, sent: object, read: object
) -> None:
    """Texts lose NUL and surrogates; numbers and instants out of range count as absent."""
    (user,) = user_infos_from_json({"user_info_list": [{"openid": FIRST, name: sent}]})
    assert getattr(user, name) == read
    changed: dict[str, Any] = {name: read}
    assert user == replace(UserInfo(openid=FIRST), **changed)


def test_entries_without_an_openid_are_left_out() -> None:
    """Invalid entries are left out of a batch; the others are parsed."""
    entries: list[object] = [
        None,
        7,
        [],
        "o",
        {},
        {"openid": 1},
        {"openid": " "},
        {"openid": "a\0"},
        {"openid": "o" * 513},
        LEFT,
    ]
    assert user_infos_from_json({"user_info_list": entries}) == [GONE]


@pytest.mark.parametrize(
    "body", [{}, {"user_info_list": None}, {"user_info_list": {}}, {"errcode": 0, "errmsg": "ok"}]
)
def test_an_answer_without_a_list_is_malformed(body: dict[str, Any]) -> None:
    """An answer without user_info_list is malformed, so that it is requested again."""
    with pytest.raises(MalformedReply):
        user_infos_from_json(body)
    assert user_infos_from_json({"user_info_list": []}) == []


@pytest.mark.parametrize(
    ("expires_in", "usable_for"),
    [
        (7200, 6900),
        (600, 300),
        (599, 299.5),
        (345, 172.5),
        (300, 150),
        (2, 1),
        (0, 0),
        (None, None),
    ],
)
def test_a_token_is_refreshed_before_it_expires(
    expires_in: int | None, usable_for: float | None
) -> None:
    """The margin is 300 seconds, or half of the remaining lifetime if that is less."""
    assert AccessToken("t", expires_in).usable_for == usable_for


def test_deeply_nested_values_are_cut() -> None:
    """An unknown key is kept down to about a hundred levels of nesting."""
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    (user,) = user_infos_from_json({"user_info_list": [{"openid": FIRST, "new": deep}]})
    assert user.extra is not None
    kept, levels = user.extra["new"], 0
    while kept:
        (kept,), levels = kept, levels + 1
    assert kept is None
    assert 90 < levels < 110
