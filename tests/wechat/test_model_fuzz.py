"""Any JSON: the parsed values can be stored, or the only error is MalformedReply."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from syncjob.model.replies import FollowerPage, MalformedReply
from syncjob.model.user_info import user_infos_from_json
from tests.wechat.test_model import FIRST, FULL

TEXT = st.one_of(
    st.text(st.characters(codec=None, categories=None), max_size=8),
    st.sampled_from([FIRST, "a\0b", "a\ud83d", " ", "\ufeff"]),
    st.from_regex("-?[0-9]{1,30}", fullmatch=True),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NUMBER = st.integers(-(2**70), 2**70) | st.sampled_from([40_000, 10**12, 10**17]) | st.floats()
ENTRY = st.fixed_dictionaries(
    {"openid": st.just(FIRST) | TEXT},
    optional={name: JSON | NUMBER for name in FULL if name != "openid"},
)
PAGE = st.fixed_dictionaries(
    {},
    optional={
        "total": JSON,
        "count": JSON,
        "next_openid": JSON | TEXT,
        "data": JSON | st.fixed_dictionaries({"openid": JSON | st.lists(JSON | TEXT)}),
    },
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)


def assert_storable(value: object) -> None:
    """Fail unless every database can store the value."""
    match value:
        case str():
            assert "\0" not in value
            value.encode()
        case bool() | None:
            pass
        case int():
            assert -(2**63) <= value < 2**63
        case datetime():
            assert value.tzinfo is UTC
            assert value.year >= 1970
        case list() | tuple():
            for inner in value:
                assert_storable(inner)
        case _:
            raise AssertionError(f"an unexpected {type(value).__name__}")


@settings(max_examples=200)
@given(OBJECTS | PAGE)
def test_any_object_is_a_page_or_malformed(body: dict[str, Any]) -> None:
    """Any answer of user/get can be stored, or raises MalformedReply and nothing else."""
    try:
        read = FollowerPage.from_json(body)
    except MalformedReply:
        return
    assert_storable(read.openids)
    assert_storable(read.total)
    assert len(set(read.openids)) == len(read.openids)
    assert all(openid.strip() for openid in read.openids)
    assert read.next_openid == read.next_openid.strip()
    assert read.skipped >= 0


@settings(max_examples=200)
@given(OBJECTS | st.fixed_dictionaries({"user_info_list": st.lists(ENTRY | JSON)}))
def test_any_object_is_a_batch_or_malformed(body: dict[str, Any]) -> None:
    """Any answer of batchget can be stored, or raises MalformedReply and nothing else."""
    try:
        users = user_infos_from_json(body)
    except MalformedReply:
        return
    for user in users:
        for value in astuple(user):
            assert_storable(value)
        assert user.openid.strip()
        assert user.sex is None or -(2**15) <= user.sex < 2**15
        assert user.subscribe in (None, 0, 1)
