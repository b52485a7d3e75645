"""Staging of answers: every text is stored unchanged, on all databases."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncjob.database.store import Store
from syncjob.model.answers import Answers
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Traffic
from syncjob.model.sweeps import HeldPages
from syncjob.model.user_info import UserInfo, documented_user_infos, user_infos_from_json

pytestmark = pytest.mark.pooled

Query = Callable[..., list[Any]]

AWKWARD = (
    "a\tb",
    "two\nlines",
    "a\r\nb",
    "back\\slash",
    r"\N",
    "\\",
    r"\.",
    "\x1f",
    "\x01\x07",
    "'; DROP TABLE followers; --",
    '{"a": "b"}',
    "大王🐯",
    " ",
)


@pytest.mark.parametrize("text", AWKWARD)
def test_a_text_is_stored_unchanged(store: Store, query: Query, text: str) -> None:
    """Characters that mean something to COPY or SQL change neither a remark nor its neighbours."""
    account = store.accounts.save("wx1")
    run = store.runs.start(account.id, "sync", holder="me", abandon_after=timedelta(minutes=3))
    sweep = store.sweeps.start(run.id, account.id)
    openids = (f"o{text.strip()}A", "oB", "oC")
    store.sweeps.save_page(run.id, sweep, FollowerPage(openids, "", 3), Traffic())
    extra = {"new": text, "list": [None, 1.5, {"deep": text}]}
    infos = [
        UserInfo(openids[0], 1, nickname=text, remark=text, unionid=f"u{text}", extra=extra),
        UserInfo("oB", 1, subscribe_time=1709251199, tagid_list=[2, 100], qr_scene=4294967295),
        UserInfo("oC", 1, nickname="", tagid_list=[], sex=0),
    ]

    assert (
        store.followers.save_answers(
            run.id, account.id, Answers(following=infos), Traffic()
        ).conflicts
        == []
    )

    columns = "openid, nickname, remark, unionid, extra, tagid_list, qr_scene, sex"
    rows = {row[0]: row[1:] for row in query(f"SELECT {columns} FROM followers")}
    decoded = {openid: tuple(map(from_json, row)) for openid, row in rows.items()}
    assert decoded == {
        openids[0]: (text, text, f"u{text}", extra, None, None, None),
        "oB": (None, None, None, None, [2, 100], 4294967295, None),
        "oC": ("", None, None, None, [], None, 0),
    }


FIELDS = [name for name in UserInfo.__struct_fields__ if name not in ("openid", "subscribe")]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_one_answer_lacks_is_null_in_its_row_only(
    store: Store, query: Query, field: str
) -> None:
    """A value that is missing in the middle is NULL there; the others keep theirs."""
    account = store.accounts.save("wx1")
    run = store.runs.start(account.id, "sync", holder="me", abandon_after=timedelta(minutes=3))
    whole = {**WELL, "extra": {"a": 1}}
    people = [
        UserInfo(**{**whole, "openid": "oA", "unionid": "uA"}),
        UserInfo(**{**whole, "openid": "oB", "unionid": "uB", field: None}),
        UserInfo(**{**whole, "openid": "oC", "unionid": "uC"}),
    ]
    held = HeldPages(1, {"oA": 1, "oC": 1})

    store.followers.save_answers(
        run.id, account.id, Answers(following=people), Traffic(), held=held
    )

    absent = query(f"SELECT openid, {field} IS NULL FROM followers ORDER BY openid")
    assert [(openid, bool(value)) for openid, value in absent] == [
        ("oA", False),
        ("oB", True),
        ("oC", False),
    ]
    since = query("SELECT openid FROM followers WHERE followed_after = subscribe_time")
    assert len(since) == (2 if field == "subscribe_time" else 3)


def test_a_large_group_is_stored_whole(store: Store, query: Query) -> None:
    """Also where most rows lack a field that a few have."""
    account = store.accounts.save("wx1")
    run = store.runs.start(account.id, "sync", holder="me", abandon_after=timedelta(minutes=3))
    people = [
        UserInfo(f"o{n:04}", 1, nickname="甲\t乙" if n % 700 == 0 else None) for n in range(2_000)
    ]

    store.followers.save_answers(run.id, account.id, Answers(following=people), Traffic())

    assert query("SELECT count(*) FROM followers") == [(2_000,)]
    named = query("SELECT openid, nickname FROM followers WHERE nickname IS NOT NULL ORDER BY 1")
    assert named == [(f"o{n:04}", "甲\t乙") for n in (0, 700, 1_400)]


def from_json(value: Any) -> Any:
    """Decode the JSON text of SQLite; leave texts alone that merely look like JSON."""
    if isinstance(value, str) and (value == "[]" or value.startswith(('{"new"', "[2"))):
        return json.loads(value)
    return value


texts = st.one_of(st.text(max_size=5), st.sampled_from(("", "a\0b", "\ud83d", "老王 😀")))
numbers = st.one_of(
    st.integers(-(2**70), 2**70), st.integers(0, 2), st.sampled_from(("1", "x", 1.0, True))
)
values = st.one_of(texts, numbers, st.none(), st.lists(numbers, max_size=3), st.just({"a": 1}))
WELL = {
    "subscribe": 1,
    "openid": "oA",
    "nickname": "老王",
    "sex": 1,
    "language": "zh_CN",
    "city": "",
    "province": "",
    "country": "",
    "headimgurl": "",
    "subscribe_time": 1_700_000_000,
    "unionid": "u",
    "remark": "",
    "groupid": 0,
    "tagid_list": [2],
    "subscribe_scene": "ADD_SCENE_OTHERS",
    "qr_scene": 0,
    "qr_scene_str": "",
}
entries = st.builds(
    lambda changed, absent: {k: v for k, v in {**WELL, **changed}.items() if k not in absent},
    st.dictionaries(st.sampled_from([*WELL, "new_key"]), values, max_size=2),
    st.sets(st.sampled_from(sorted(WELL)), max_size=2),
)


@settings(max_examples=500, derandomize=True)
@given(st.lists(entries, max_size=3), st.booleans())
def test_the_fast_path_and_the_tolerant_parser_agree(
    batch: list[dict[str, Any]], ensure_ascii: bool
) -> None:
    """The fast path reads answers like the tolerant parser, or leaves them to it."""
    content = json.dumps({"user_info_list": batch}, ensure_ascii=ensure_ascii)
    fast = documented_user_infos(content.encode("utf-8", "surrogatepass"))
    assert fast in (None, user_infos_from_json({"user_info_list": batch}))


@pytest.mark.parametrize(
    ("answer", "is_documented"),
    [
        (json.dumps({"user_info_list": [WELL]}).encode(), True),
        (json.dumps({"user_info_list": [WELL]}, ensure_ascii=False).encode(), True),
        (json.dumps({"user_info_list": [{"openid": "oA", "subscribe": 0}]}).encode(), True),
        (json.dumps({"user_info_list": [WELL | {"new_key": 1}]}).encode(), False),
        (json.dumps({"user_info_list": [WELL | {"extra": {}}]}).encode(), False),
        (json.dumps({"user_info_list": [WELL | {"\0": {}}]}).encode(), False),
        (json.dumps({"user_info_list": [WELL | {"nickname": "\ud83d"}]}).encode(), False),
        (json.dumps({"user_info_list": [WELL | {"nickname": "a\0"}]}).encode(), False),
        (json.dumps({"user_info_list": [WELL], "errcode": 0}).encode(), False),
        (json.dumps({"errcode": 40003, "errmsg": "invalid openid"}).encode(), False),
        (b'\xef\xbb\xbf{"user_info_list": []}', False),
        (b'{"user_info_list": [{"openid": "oA", "nickname": "\xff"}]}', False),
        (b'{"user_info_list": [{"openid": "oA", "nickname": "\x07"}]}', False),
        (b'{"user_info_list": [{"openid": "oA"}', False),
        (b'{"user_info_list": [{"openid": " "}]}', False),
        (b"[" * 100_000, False),
        (b"", False),
    ],
)
def test_undocumented_answers_are_left_to_the_tolerant_parser(
    answer: bytes, is_documented: bool
) -> None:
    """Errors, unknown keys, and text that is broken or that databases refuse."""
    assert (documented_user_infos(answer) is not None) is is_documented
