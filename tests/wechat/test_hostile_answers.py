"""Hostile answers: echoed credentials, numbers out of range, texts that break storage."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from syncjob.errors import WeChatError
from syncjob.model.replies import FollowerPage, MalformedReply
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.transport import Transport
from tests.conftest import World
from tests.loopback import answering
from tests.wechat.test_errcodes import TOKEN, refusal


def test_an_escaped_token_is_masked() -> None:
    """A token echoed as it stood in the URL, percent-escaped, is masked too."""
    for echoed in (quote(TOKEN, safe=""), quote(TOKEN), quote(TOKEN, safe="").lower()):
        assert echoed not in str(refusal(f"bad url /cgi-bin/user/get?access_token={echoed}"))


def test_the_key_of_a_token_server_is_masked() -> None:
    """The key in a token server's address is not repeated, though the server says it."""
    with answering([b'{"errcode":40001,"errmsg":"bad key hunter2"}']) as server:
        transport = Transport(server.url + "/?key=hunter2", timeout=5, sleep=lambda _: None)
        with pytest.raises(WeChatError) as caught:
            transport.call(
                Endpoint(method="GET", path="", parse=dict, bare="access_token", issues_tokens=True)
            )
        transport.close()
    assert "hunter2" not in str(caught.value)


def test_an_openid_that_ends_with_a_dash_is_masked() -> None:
    """An OpenID is recognised by its alphabet, whose last character may be a dash."""
    openid = "oCFBU6" + "x" * 21 + "-"
    for errmsg in (f"no user {openid}", f"no user {openid}, sorry"):
        assert openid not in str(refusal(errmsg))


@pytest.mark.parametrize("errcode", ["1e999", "-1e999", "Infinity", "9" * 30, f'"{"9" * 30}"'])
def test_an_errcode_that_no_column_can_hold_is_no_crash(errcode: str) -> None:
    """An errcode out of all range is an error like another, and fits the table of runs."""
    with answering([f'{{"errcode":{errcode},"errmsg":"?"}}'.encode()]) as server:
        transport = Transport(server.url, timeout=5, sleep=lambda _: None)
        with pytest.raises(WeChatError) as caught:
            transport.call(Endpoint(method="GET", path="/x", parse=dict))
        transport.close()
    assert caught.value.errcode is None or -(2**63) <= caught.value.errcode < 2**63


@pytest.mark.parametrize("cursor", ["a\0b", "a\ud83d"])
def test_a_cursor_that_cannot_be_stored_is_malformed(cursor: str) -> None:
    """A next_openid that no column can hold is asked for again, neither stored nor sent."""
    with pytest.raises(MalformedReply):
        FollowerPage.from_json({"data": {"openid": ["o"]}, "next_openid": cursor})


@pytest.mark.parametrize(
    "expires_in", ["1e999", "-1e999", "1" + "0" * 20, "10000000000000", "-99999999999999"]
)
@pytest.mark.parametrize("source", ["stable", "url"])
def test_a_life_out_of_all_range_is_no_crash(
    serve: Callable[..., World],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    expires_in: str,
    source: str,
) -> None:
    """An expires_in that no calendar holds is malformed or cut, never an internal error."""
    wechat = serve(3)
    with answering([f'{{"access_token":"60_x","expires_in":{expires_in}}}'.encode()]) as server:
        wechat.set(
            SYNCJOB_DATABASE_URL=sqlite_url,
            SYNCJOB_API_URL=server.url,
            SYNCJOB_TOKEN_URL=server.url,
            SYNCJOB_TOKEN_SOURCE=source,
        )
        assert wechat.run("sync") != 0
    assert "internal error" not in capsys.readouterr().err


def test_a_garbled_answer_after_busy_ones_is_asked_for_once_more() -> None:
    """A garbled answer gets its second try, however many busy ones came before it."""
    with answering([b'{"errcode":-1}', b'{"errcode":-1}', b"{", b'{"total":1}']) as server:
        transport = Transport(server.url, timeout=5, sleep=lambda _: None)
        endpoint = Endpoint(method="GET", path="/x", parse=dict, garbled_attempts=2)
        assert transport.call(endpoint) == {"total": 1}
        transport.close()
