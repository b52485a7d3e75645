"""A gateway between the job and WeChat: what it wraps, drops, repeats or writes in other types."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from syncjob.model.cleaning import integer
from syncjob.model.replies import FollowerPage, MalformedReply
from syncjob.model.user_info import UserInfo
from tests.conftest import World
from tests.gateway import gateway

pytestmark = pytest.mark.one_database

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "code and data": lambda answer: {"code": 0, "data": answer},
    "code, message and data": lambda answer: {"code": "0", "message": "ok", "data": answer},
    "success and result": lambda answer: {"success": True, "result": answer},
    "status and data": lambda answer: {"status": "ok", "data": answer},
    "errcode and data": lambda answer: {"errcode": 0, "errmsg": "ok", "data": answer},
    "data as a text": lambda answer: {"code": 0, "data": json.dumps(answer)},
    "its own refusal": lambda _answer: {"code": 401, "message": "no such client", "data": None},
}
ENDPOINTS = {
    "stable_token": "/cgi-bin/stable_token",
    "list": "/cgi-bin/user/get",
    "batchget": "/cgi-bin/user/info/batchget",
    "user/info": "/cgi-bin/user/info",
}


CASES = [
    *((path, WRAPPERS["code and data"]) for path in ENDPOINTS.values()),
    *((ENDPOINTS["list"], wrap) for wrap in WRAPPERS.values()),
]


@pytest.mark.parametrize("concurrency", ["1", "8"])
@pytest.mark.parametrize(("path", "wrap"), CASES)
def test_an_answer_in_a_gateways_wrapper_needs_a_person(
    world: Callable[..., World],
    capsys: pytest.CaptureFixture[str],
    query: Callable[..., list[Any]],
    path: str,
    wrap: Callable[[Any], Any],
    concurrency: str,
) -> None:
    """Where every attempt is wrapped, a retry tomorrow will not help: exit code 1, not 75."""
    wechat = world(5)
    wechat.account.blank(wechat.account.openid(0))  # so that user/info is asked
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)

    def change(asked: str, _before: int, answer: Any) -> Any:
        return wrap(answer) if asked == path else answer

    with gateway(wechat.url, change) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 1
    said, cure = capsys.readouterr().err.splitlines()[-2:]
    assert f"WeChat {path} answered JSON that is not in WeChat's form" in said
    assert "came through a gateway that wraps it" in said
    assert "unchanged" in cure
    assert query("SELECT status, exit_code FROM runs") == [("failed", 1)]
    assert query("SELECT count(*) FROM followers WHERE NOT subscribe") == [(0,)]


@pytest.mark.parametrize("wrap", [WRAPPERS["code and data"], WRAPPERS["its own refusal"]])
def test_a_quota_in_a_wrapper_is_not_known(
    world: Callable[..., World], query: Callable[..., list[Any]], wrap: Callable[[Any], Any]
) -> None:
    """What it says is good to know and no more: the run goes on with what is documented."""
    wechat = world(5)

    def change(asked: str, _before: int, answer: Any) -> Any:
        return wrap(answer) if "quota" in asked else answer

    with gateway(wechat.url, change) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 0
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL") == [(5,)]


@pytest.mark.parametrize("path", ENDPOINTS.values(), ids=ENDPOINTS)
def test_an_occasional_wrapper_is_retried(world: Callable[..., World], path: str) -> None:
    """Like every answer that cannot be read."""
    wechat = world(5)
    wechat.account.blank(wechat.account.openid(0))
    wrapped: list[str] = []

    def change(asked: str, _before: int, answer: Any) -> Any:
        if asked == path and len(wrapped) < 3:
            wrapped.append(asked)
            return {"code": 0, "data": answer}
        return answer

    with gateway(wechat.url, change) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 0
    assert len(wrapped) == 3


def test_wrappers_among_other_failures_are_transient(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one attempt reached WeChat itself, a later run may succeed: exit code 75."""
    wechat = world(5)
    asked_lists: list[str] = []

    def change(asked: str, _before: int, answer: Any) -> Any:
        if asked != "/cgi-bin/user/get":
            return answer
        asked_lists.append(asked)
        return {} if len(asked_lists) == 2 else {"code": 0, "data": answer}

    with gateway(wechat.url, change) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 75
    assert "the next run goes on" in capsys.readouterr().err


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_token_server_that_wraps_its_answer_needs_a_person(
    serve: Callable[..., World],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    wrap: Callable[[Any], Any],
) -> None:
    """The same of the server of SYNCJOB_TOKEN_URL, which is named; its token is not printed."""
    wechat = serve(5)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    with gateway(wechat.url, lambda _path, _before, answer: wrap(answer)) as url:
        wechat.set(
            SYNCJOB_TOKEN_SOURCE="url",
            SYNCJOB_TOKEN_URL=f"{url}/cgi-bin/token?grant_type=client_credential"
            f"&appid={wechat.simulator.appid}&secret={wechat.simulator.secret}",
        )
        assert wechat.run("sync") == 1
        said = capsys.readouterr().err
        assert "the token server of SYNCJOB_TOKEN_URL answered JSON that is not in WeChat's" in said
        assert wechat.simulator.secret not in said
        assert wechat.run("doctor") == 1
    assert "came through a gateway that wraps it" in capsys.readouterr().out


def test_a_wrapper_is_not_the_end_of_the_list() -> None:
    """A `data` without `openid` is somebody else's, and no account without followers."""
    page = {"total": 2, "count": 2, "data": {"openid": ["a", "b"]}, "next_openid": "b"}
    assert FollowerPage.from_json(page).openids == ("a", "b")
    assert FollowerPage.from_json({"data": {"openid": ["a"]}}).openids == ("a",)
    assert FollowerPage.from_json({"total": 0, "count": 0, "next_openid": ""}).openids == ()
    for wrapped in (
        {"code": 0, "data": page},
        {"code": 1, "data": None},
        {"data": {}},
        {"total": 2, "data": page},
        {"data": []},
    ):
        with pytest.raises(MalformedReply):
            FollowerPage.from_json(wrapped)


# --- other types ---------------------------------------------------------------------------------

TYPES: dict[str, Callable[[int], Any]] = {
    "booleans": lambda number: bool(number) if number in (0, 1) else number,
    "strings": str,
    "floats": float,
    "strings of floats": lambda number: f"{number}.0",
    "words": lambda number: str(bool(number)).lower() if number in (0, 1) else str(number),
}


def retyped(value: Any, to: Callable[[int], Any]) -> Any:
    """Return the value with every number in another type."""
    if isinstance(value, dict):
        return {name: retyped(inner, to) for name, inner in value.items()}
    if isinstance(value, list):
        return [retyped(inner, to) for inner in value]
    return to(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize("to", TYPES.values(), ids=TYPES)
def test_numbers_in_other_types_mean_the_same(
    world: Callable[..., World], query: Callable[..., list[Any]], to: Callable[[int], Any]
) -> None:
    """Through a gateway of another language the same rows are stored, the same person is gone."""
    wechat = world(12)
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_REFRESH_AFTER="1s")
    columns = "openid, subscribe, sex, subscribe_time, groupid, qr_scene, tagid_list, enriched_at"
    with gateway(wechat.url, lambda _path, _before, answer: retyped(answer, to)) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 0
        through = query(f"SELECT {columns} FROM followers ORDER BY openid")
        gone = wechat.account.openid(3)
        wechat.account.unfollow(gone)
        assert wechat.run("sync") == 0
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [(gone,)]
    wechat.set(SYNCJOB_API_URL=wechat.url)
    assert all(row[-1] is not None for row in through)
    assert wechat.run("backfill") == 0
    straight = query(f"SELECT {columns} FROM followers ORDER BY openid")
    assert [row[2:-1] for row in through] == [row[2:-1] for row in straight]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1),
        (False, 0),
        ("1", 1),
        (" 1 ", 1),
        (1.0, 1),
        ("1.0", 1),
        ("true", 1),
        ("False", 0),
        (1e9, 1_000_000_000),
        (0.5, None),
        ("0.5", None),
        ("yes", None),
        ("", None),
        (None, None),
        ([], None),
        (float("nan"), None),
        ("inf", None),
        ("1" * 5000, None),
    ],
)
def test_a_number_is_read_in_every_type_it_comes_in(value: object, number: int | None) -> None:
    """Half a number, or a word, is not a number."""
    assert integer(value) == number
    assert UserInfo.from_json({"openid": "o", "subscribe": value}).subscribe == (
        number if number in (0, 1) else None
    )


@pytest.mark.parametrize("errcode", [None, False, 0, "0", 0.0, "", "false", "0.0"])
def test_no_errcode_in_other_types_is_no_error(
    world: Callable[..., World], errcode: object
) -> None:
    """A gateway may add one to each answer."""
    wechat = world(5)

    def change(_path: str, _before: int, answer: Any) -> Any:
        return {"errmsg": "ok", **answer, "errcode": errcode}

    with gateway(wechat.url, change) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 0


# --- a query that is dropped ---------------------------------------------------------------------


def without_cursor(target: str) -> str:
    """Return the target without next_openid, as a cache by path, or a careless proxy, sees it."""
    parts = urlsplit(target)
    left = [(name, value) for name, value in parse_qsl(parts.query) if name != "next_openid"]
    return f"{parts.path}?{urlencode(left)}"


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_a_list_that_is_the_same_for_every_cursor_names_the_cache(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str], concurrency: str
) -> None:
    """Page 2 is page 1: the sentence says what to look for, and nobody is called gone."""
    wechat = world(700, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    with gateway(wechat.url, target=without_cursor) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 75
    said = capsys.readouterr().err
    assert "page 2 is page 1 again: a cache or a proxy that drops the query?" in said
    assert wechat.run("runs") == 0
    assert "drops the query?" in " ".join(capsys.readouterr().out.split())


def test_a_page_that_comes_for_every_later_cursor_names_the_cache(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that filled while the list was at its third page."""
    wechat = world(700, page_size=100)
    kept: list[Any] = []

    def change(path: str, _before: int, answer: Any) -> Any:
        if path != "/cgi-bin/user/get":
            return answer
        kept.append(answer)
        return kept[min(len(kept) - 1, 2)]

    with gateway(wechat.url, change) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 75
    assert "page 4 is page 3 again: a cache or a proxy" in capsys.readouterr().err


def test_a_short_list_in_a_cache_is_whole(world: Callable[..., World]) -> None:
    """Where one page holds everybody, its repetition is an end that WeChat's own lists have too."""
    wechat = world(50)
    with gateway(wechat.url, target=without_cursor) as url:
        wechat.set(SYNCJOB_API_URL=url)
        assert wechat.run("sync") == 0
