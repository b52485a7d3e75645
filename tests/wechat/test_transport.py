"""One HTTP call to WeChat: how it is sent, decoded and retried."""

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from syncjob.errors import (
    AnswerUnreadable,
    ExitCode,
    UnexpectedReply,
    WeChatError,
    WeChatUnavailable,
)
from syncjob.model.replies import MalformedReply
from syncjob.wechat.endpoint import ATTEMPTS, Endpoint
from syncjob.wechat.transport import MAX_BACKOFF, Transport
from tests.loopback import Server, answering

TOKEN = "60_Ab-c+d/e=f~g.h"
GOOD = b'{"total":1}'

T = TypeVar("T")


class Asked:
    """A transport to `server`, the sleeps it asked for, and its calls."""

    def __init__(self, server: Server) -> None:
        self.naps: list[float] = []
        self.transport = Transport(server.url, timeout=5, sleep=self.naps.append)

    @property
    def sent(self) -> tuple[int, int]:
        """How many requests were sent, and how many of them repeat one."""
        return self.transport.traffic.calls, self.transport.traffic.retries

    def call(
        self,
        method: str = "GET",
        parse: Callable[[dict[str, Any]], Any] = dict,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        **endpoint: Any,
    ) -> Any:
        """Make one call with the token."""
        params = {"access_token": TOKEN} if params is None else params
        asked = Endpoint(method=method, path="/cgi-bin/user/get", parse=parse, **endpoint)
        try:
            return self.transport.call(asked, params=params, body=body)
        finally:
            self.transport.close()

    def refused(self, method: str = "GET", **arguments: Any) -> WeChatError:
        """Make one call that fails; return its error."""
        with pytest.raises(WeChatError) as caught:
            self.call(method, **arguments)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        return caught.value


# --- sending ------------------------------------------------------------------------------


def test_a_body_is_json_of_known_length() -> None:
    """A POST says application/json and its length, never chunked, and writes Chinese as it is."""
    with answering([GOOD]) as server:
        Asked(server).call("POST", body={"remark": "老王 😀"})
    ((method, target, body),) = server.requests
    assert (method, urlsplit(target).path) == ("POST", "/cgi-bin/user/get")
    assert '"老王 😀"'.encode() in body
    assert b"\\u" not in body
    assert json.loads(body) == {"remark": "老王 😀"}
    (headers,) = server.headers
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in headers


def test_a_get_has_no_body() -> None:
    """A GET carries its parameters escaped in the query, and nothing else."""
    with answering([GOOD]) as server:
        Asked(server).call(params={"access_token": TOKEN, "next_openid": "o-_&=#老"})
    ((method, target, body),) = server.requests
    assert (method, body) == ("GET", b"")
    asked = parse_qs(urlsplit(target).query, strict_parsing=True)
    assert asked == {"access_token": [TOKEN], "next_openid": ["o-_&=#老"]}
    assert "content-type" not in server.headers[0]
    assert server.headers[0]["user-agent"].startswith("syncjob/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """A token is not carried to where somebody's proxy points: a redirect ends the call."""
    with answering([GOOD]) as elsewhere:
        there = {"Location": f"{elsewhere.url}/?access_token={TOKEN}"}
        with answering([GOOD], status=status, headers=there) as server:
            error = Asked(server).refused()
    assert elsewhere.requests == []
    assert len(server.requests) == 1
    assert isinstance(error, UnexpectedReply)
    assert f"HTTP {status}" in str(error)
    assert TOKEN not in str(error)


# --- decoding -----------------------------------------------------------------------------

DECODED: dict[str, tuple[bytes, str, object]] = {
    "json": ('{"a":"老王"}'.encode(), "application/json; encoding=utf-8", "老王"),
    "text/plain without a charset": ('{"a":"老王"}'.encode(), "text/plain", "老王"),
    "a charset that is not true": ('{"a":"老"}'.encode(), "text/html; charset=gbk", "老"),
    "a byte order mark": (b"\xef\xbb\xbf" + '{"a":"老"}'.encode(), "text/plain", "老"),
    "raw control characters": (b'{"a":"\x07\x14\n"}', "application/json", "\x07\x14\n"),
    "bytes that are no UTF-8": (b'{"a":"x\xb9\xe3"}', "application/json", "x\ufffd\ufffd"),
    "escaped slashes": (rb'{"a":"http:\/\/x"}', "application/json", "http://x"),
    "errcode 0 beside the data": (b'{"errcode":0,"errmsg":"ok","a":1}', "text/plain", 1),
    "errcode 0 as a text": (b'{"errcode":"0","a":1}', "text/plain", 1),
    "errcode null": (b'{"errcode":null,"a":1}', "text/plain", 1),
}


@pytest.mark.parametrize(("body", "kind", "value"), DECODED.values(), ids=DECODED.keys())
def test_an_answer_is_read_as_utf_8_whatever_it_says(body: bytes, kind: str, value: object) -> None:
    """Neither the content type nor odd bytes keep an answer from being read."""
    with answering([body], content_type=kind) as server:
        assert Asked(server).call()["a"] == value


@pytest.mark.parametrize("errcode", ["48001", '"48001"', "48001.0"])
def test_an_errcode_may_be_a_text(errcode: str) -> None:
    """An errcode means the same as a number and as a text, also with an HTTP error status."""
    body = f'{{"errcode":{errcode},"errmsg":"api unauthorized"}}'.encode()
    for status in (200, 403, 500):
        with answering([body], status=status) as server:
            error = Asked(server).refused()
        assert (error.errcode, error.exit_code) == (48001, ExitCode.NEEDS_A_PERSON)
        assert len(server.requests) == 1


# --- asking again -------------------------------------------------------------------------

PASSING: dict[str, tuple[int, bytes]] = {
    **{f"HTTP {status}": (status, b"<html>") for status in (408, 425, 429, 500, 502, 503, 504)},
    "an error status and JSON without an errcode": (503, b'{"message":"down"}'),
    "a web page": (200, b"<html><body>login</body></html>"),
    "nothing": (200, b""),
    "a list": (200, b'[{"total":1}]'),
    "a number": (200, b"7"),
    "null": (200, b"null"),
    "brackets without end": (200, b"[" * 100_000),
    "busy": (200, b'{"errcode":-1,"errmsg":"system error"}'),
    "busy, as a text": (200, b'{"errcode":"-1","errmsg":"system error"}'),
    "an errcode that is no number": (200, b'{"errcode":"oops","errmsg":"?"}'),
    "an errcode that is a list": (200, b'{"errcode":[1],"errmsg":"?"}'),
}


@pytest.mark.parametrize(("status", "body"), PASSING.values(), ids=PASSING.keys())
def test_a_transient_failure_is_tried_six_times(status: int, body: bytes) -> None:
    """It is retried five times with growing waits, then ends with 75."""
    with answering([body], status=status) as server:
        asked = Asked(server)
        error = asked.refused()
    assert isinstance(error, WeChatUnavailable)
    assert error.exit_code == ExitCode.TRY_AGAIN_LATER
    assert len(server.requests) == ATTEMPTS == 6
    assert asked.sent == (6, 5)
    assert len(asked.naps) == 5
    for nap, longest in zip(asked.naps, (1, 2, 4, 8, 16), strict=True):
        assert 0 <= nap <= longest <= MAX_BACKOFF


@pytest.mark.parametrize("bodies", [[b"", GOOD], [b"<html>", b'{"errcode":-1}', b"", GOOD]])
def test_the_first_good_answer_ends_the_retries(bodies: list[bytes]) -> None:
    """Each failed try is one more call and one more retry; the good answer is returned."""
    with answering(bodies) as server:
        asked = Asked(server)
        assert asked.call() == {"total": 1}
    assert asked.sent == (len(bodies), len(bodies) - 1)
    assert len(server.requests) == len(bodies)


def test_a_garbled_answer_is_retried_once() -> None:
    """Half an answer of WeChat's own, which one user's text may be to blame for, gets two tries."""
    with answering([b'{"total":1,"count":']) as server:
        asked = Asked(server)
        error = asked.refused(garbled_attempts=2)
    assert isinstance(error, AnswerUnreadable)
    assert error.exit_code == ExitCode.TRY_AGAIN_LATER
    assert asked.sent == (2, 1)
    with answering([b"{", GOOD]) as server:
        assert Asked(server).call() == {"total": 1}


def test_an_answer_of_the_wrong_shape_is_retried() -> None:
    """What the parser calls malformed may be right the next time."""

    def parse(answer: dict[str, Any]) -> object:
        if "data" not in answer:
            raise MalformedReply("a page without data")
        return answer["data"]

    with answering([b'{"x":1}', b'{"data":7}']) as server:
        assert Asked(server).call(parse=parse) == 7
    with answering([b'{"x":1}']) as server:
        error = Asked(server).refused(parse=parse)
    assert isinstance(error, WeChatUnavailable)
    assert "answered a page without data" in str(error)


def test_a_minute_quota_waits_a_minute_each_time() -> None:
    """45011 is asked again after 60 seconds at least, and never in a hurry."""
    with answering([b'{"errcode":45011,"errmsg":"api minute-quota reach limit"}']) as server:
        asked = Asked(server)
        error = asked.refused()
    assert (error.errcode, error.exit_code) == (45011, ExitCode.TRY_AGAIN_LATER)
    assert len(asked.naps) == 5
    assert all(60 <= nap <= 60 + MAX_BACKOFF for nap in asked.naps)


@pytest.mark.parametrize("status", [304, 400, 401, 403, 404, 405, 412, 413, 451])
def test_a_lasting_status_is_not_retried(status: int) -> None:
    """Other error statuses (412: a body that WeChat refuses) end the run at once with 1."""
    with answering([b""], status=status) as server:
        asked = Asked(server)
        error = asked.refused()
    assert isinstance(error, UnexpectedReply)
    assert error.exit_code == ExitCode.FAILED
    assert f"HTTP {status}" in str(error)
    assert asked.sent == (1, 0)
    assert asked.naps == []


def test_an_answer_with_broken_compression_is_retried() -> None:
    """Content that cannot be unpacked counts as a network failure, in words."""
    with answering([b"no gzip"], headers={"Content-Encoding": "gzip"}) as server:
        error = Asked(server).refused()
    assert "the answer's compression is broken" in str(error)
    assert len(server.requests) == ATTEMPTS


def test_a_closed_port_is_reported_without_the_url() -> None:
    """The host is named, since it may be mistyped; path, token and query are not."""
    with answering([GOOD]) as server:
        pass
    asked = Asked(server)
    words = str(asked.refused())
    assert server.url.removeprefix("http://") in words
    assert TOKEN not in words
    assert "access_token" not in words
    assert "http://" not in words
    assert len(asked.naps) == 5
