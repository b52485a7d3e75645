"""Errors of WeChat: class, exit code, cure, and a text without secrets."""

import json
import time

import pytest

from syncjob.errors import (
    BatchSizeRefused,
    InvalidOpenID,
    NeedsOperator,
    NoSuchUser,
    QuotaExhausted,
    TokenRejected,
    UnexpectedReply,
    WeChatError,
    WeChatUnavailable,
)
from syncjob.wechat.endpoint import ATTEMPTS, Endpoint
from syncjob.wechat.errcodes import error_of, split_rid
from syncjob.wechat.transport import Transport
from tests.loopback import answering

TOKEN = "60_Ab-c+d/e=f~g.h"
SECRET = "0123456789abcdef0123456789abcdef"
OPENID = "oCFBU6first_0000000000000001"


def refusal(errmsg: str, errcode: int = 48001, *, path: str = "/cgi-bin/user/get") -> WeChatError:
    """Return the error that an answer with this errmsg becomes."""
    return asked(errmsg, errcode, path)[0]


def asked(errmsg: str, errcode: int, path: str) -> tuple[WeChatError, int]:
    """Return the error, and how often WeChat was asked."""
    body = json.dumps({"errcode": errcode, "errmsg": errmsg}).encode()
    with answering([body]) as server:
        transport = Transport(server.url, timeout=5, sleep=lambda _seconds: None)
        with pytest.raises(WeChatError) as caught:
            if path.endswith("token"):
                credentials = {"appid": "wx1", "secret": SECRET}
                endpoint = Endpoint(method="POST", path=path, parse=dict, issues_tokens=True)
                transport.call(endpoint, body=credentials)
            else:
                endpoint = Endpoint(method="GET", path=path, parse=dict)
                transport.call(endpoint, params={"access_token": TOKEN})
        transport.close()
    return caught.value, len(server.requests)


# Written from the official tables: the errcode, the class, the exit code, how often it is asked.
BUSINESS = [
    (-1, WeChatUnavailable, 75, ATTEMPTS),
    (268487001, WeChatUnavailable, 75, ATTEMPTS),
    (268487002, WeChatUnavailable, 75, ATTEMPTS),
    (45011, WeChatUnavailable, 75, ATTEMPTS),
    (45009, QuotaExhausted, 75, 1),
    (40001, TokenRejected, 3, 1),
    (40014, TokenRejected, 3, 1),
    (42001, TokenRejected, 3, 1),
    (40013, NeedsOperator, 3, 1),
    (40125, NeedsOperator, 3, 1),
    (41002, NeedsOperator, 3, 1),
    (41004, NeedsOperator, 3, 1),
    (40164, NeedsOperator, 3, 1),
    (40243, NeedsOperator, 3, 1),
    (89501, NeedsOperator, 3, 1),
    (89503, NeedsOperator, 3, 1),
    (89506, NeedsOperator, 3, 1),
    (89507, NeedsOperator, 3, 1),
    (48001, NeedsOperator, 3, 1),
    (48004, NeedsOperator, 3, 1),
    (49003, NeedsOperator, 3, 1),
    (50002, NeedsOperator, 3, 1),
    (50004, NeedsOperator, 3, 1),
    (50007, NeedsOperator, 3, 1),
    (61004, NeedsOperator, 3, 1),
    (61007, NeedsOperator, 3, 1),
    (61016, NeedsOperator, 3, 1),
    (61024, NeedsOperator, 3, 1),
    (40003, InvalidOpenID, 1, 1),
    (40032, BatchSizeRefused, 1, 1),
    (43004, NoSuchUser, 1, 1),
    (46004, NoSuchUser, 1, 1),
    (50005, NoSuchUser, 1, 1),
    (65302, NoSuchUser, 1, 1),
    # requests in a form that WeChat refuses: a bug of ours
    (41001, UnexpectedReply, 1, 1),
    (43001, UnexpectedReply, 1, 1),
    (43002, UnexpectedReply, 1, 1),
    (43003, UnexpectedReply, 1, 1),
    (44002, UnexpectedReply, 1, 1),
    (47001, UnexpectedReply, 1, 1),
    (40035, UnexpectedReply, 1, 1),
    (40066, UnexpectedReply, 1, 1),
    # what the documents do not know
    (12345, UnexpectedReply, 1, 1),
    (-2, UnexpectedReply, 1, 1),
]
AT_THE_TOKEN_ENDPOINTS = [
    (-1, WeChatUnavailable, 75, ATTEMPTS),
    (45011, WeChatUnavailable, 75, ATTEMPTS),
    (45009, QuotaExhausted, 75, 1),
    (40001, NeedsOperator, 3, 1),
    (40013, NeedsOperator, 3, 1),
    (40125, NeedsOperator, 3, 1),
    (40164, NeedsOperator, 3, 1),
    (40243, NeedsOperator, 3, 1),
    (41002, NeedsOperator, 3, 1),
    (41004, NeedsOperator, 3, 1),
    (50004, NeedsOperator, 3, 1),
    (50007, NeedsOperator, 3, 1),
    (61024, NeedsOperator, 3, 1),
    (89501, NeedsOperator, 3, 1),
    (89503, NeedsOperator, 3, 1),
    (89506, NeedsOperator, 3, 1),
    (89507, NeedsOperator, 3, 1),
    (43002, UnexpectedReply, 1, 1),
]
CALLS = [
    *(("/cgi-bin/user/get", *row) for row in BUSINESS),
    *(("/cgi-bin/user/info/batchget", *row) for row in BUSINESS),
    *(("/cgi-bin/stable_token", *row) for row in AT_THE_TOKEN_ENDPOINTS),
]


@pytest.mark.parametrize(("path", "errcode", "kind", "exit_code", "calls"), CALLS)
def test_each_errcode_has_its_class_and_exit_code(
    path: str, errcode: int, kind: type[WeChatError], exit_code: int, calls: int
) -> None:
    """An errcode ends as the documents say; only what may pass is asked for again."""
    error, tries = asked("said rid: 684ee180-1a2b3c4d-5e6f7081", errcode, path)
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert (error.errcode, error.rid) == (errcode, "684ee180-1a2b3c4d-5e6f7081")
    assert tries == calls
    first, second = str(error).splitlines()
    assert first == f"WeChat {path} answered {errcode} said (rid 684ee180-1a2b3c4d-5e6f7081)"
    assert len(second) > 10
    assert "{" not in second


@pytest.mark.parametrize(
    ("errcode", "cure"),
    [
        (40001, "SYNCJOB_APPSECRET"),
        (40125, "SYNCJOB_APPSECRET"),
        (41004, "SYNCJOB_APPSECRET"),
        (40013, "SYNCJOB_APPID"),
        (41002, "SYNCJOB_APPID"),
        (40164, "IP whitelist"),
        (40243, "unfreeze"),
        (89507, "an hour"),
        (89506, "24 hours"),
        (89503, "administrator"),
        (61024, "SYNCJOB_TOKEN_SOURCE"),
    ],
)
def test_the_second_line_is_the_cure(errcode: int, cure: str) -> None:
    """What only a person can fix comes with what that person has to do."""
    assert cure in str(refusal("said", errcode, path="/cgi-bin/token")).splitlines()[1]


@pytest.mark.parametrize(
    ("errmsg", "address"),
    [
        ("invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist rid: 6-1-2", "1.2.3.4"),
        ("invalid ip 203.0.113.77, not in whitelist hint: [9.9.9.9]", "203.0.113.77"),
        ("not in whitelist", "this machine's address"),
    ],
)
@pytest.mark.parametrize("errcode", [40164, 89501, 89503, 89506, 89507])
def test_the_address_that_wechat_saw_is_in_the_cure(
    errmsg: str, address: str, errcode: int
) -> None:
    """The operator need not look for the IP to whitelist or to confirm."""
    cure = str(error_of(errcode, errmsg, who="WeChat", token_endpoint=True)).splitlines()[1]
    assert address in cure


@pytest.mark.parametrize(
    ("errmsg", "said", "rid"),
    [
        ("api unauthorized", "api unauthorized", None),
        ("", "", None),
        ("invalid openid hint: [Xy_z0123vr19!]", "invalid openid", None),
        ("invalid openid hint: [x] rid: 61d3e476-00ab-7", "invalid openid", "61d3e476-00ab-7"),
        ("expired rid: 61d3e476-3e2ec1b3-4a9ba4c2", "expired", "61d3e476-3e2ec1b3-4a9ba4c2"),
        ("expired, rid:61D3E476-3E2EC1B3-4A9BA4C2", "expired,", "61D3E476-3E2EC1B3-4A9BA4C2"),
        ("hint: [] hint: [a] ok", "ok", None),
        ("api功能未授权", "api功能未授权", None),
        ("rid: none", "rid: none", None),
        ("x" * 5000, "x" * 300, None),
    ],
)
def test_hint_and_rid_are_taken_out_of_the_text(errmsg: str, said: str, rid: str | None) -> None:
    """Old and new forms: the hint goes, so that errors can be grouped; the rid is kept apart."""
    assert split_rid(errmsg) == (said, rid)


@pytest.mark.parametrize(
    "errmsg",
    [
        "a\nb",
        "a\r\nsyncjob: all is well",
        "a\x1b[31mb\x07",
        "a\0b",
        "a\u2028b\u0085c",
        "a\u202eb",
        "a\ud83db",
    ],
)
def test_no_errmsg_can_break_a_line_or_paint_the_terminal(errmsg: str) -> None:
    """Control characters never reach the message: it is two lines, said and cure."""
    lines = str(refusal(errmsg)).split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    "errmsg",
    [
        f"invalid credential {TOKEN} is not latest",
        f"bad url https://api.weixin.qq.com/cgi-bin/user/get?access_token={TOKEN}&x=1",
        f"{TOKEN}{TOKEN}",
    ],
)
@pytest.mark.parametrize("errcode", [48001, 40001, 12345, -1])
def test_an_echoed_token_is_masked(errmsg: str, errcode: int) -> None:
    """A server that repeats the token in its errmsg does not get it into our message."""
    error = refusal(errmsg, errcode)
    assert TOKEN not in f"{error} {error!r} {error.args}"
    assert "***" in str(error)


def test_an_echoed_secret_is_masked() -> None:
    """A server that repeats the AppSecret in its errmsg does not get it into our message."""
    error = refusal(f"invalid appsecret {SECRET}!", 40125, path="/cgi-bin/stable_token")
    assert SECRET not in f"{error} {error!r}"
    assert "invalid appsecret ***!" in str(error)


@pytest.mark.parametrize("errmsg", ["no user {}", "openid={}, sorry", "[{}] {}", "hint: [{}] no"])
def test_an_echoed_openid_is_masked(errmsg: str) -> None:
    """A plain OpenID in an errmsg stays out of logs, messages and the table of runs."""
    assert OPENID not in str(refusal(errmsg.format(OPENID, OPENID)))


def test_an_errmsg_without_end_is_read_at_once() -> None:
    """Megabytes of blanks or hints take no longer than a page of them."""
    for errmsg in (" " * 2_000_000 + "x", "\0" * 2_000_000, "hint: [" * 300_000):
        began = time.process_time()
        assert len(str(error_of(40164, errmsg, who="WeChat", token_endpoint=False))) < 1_000
        assert time.process_time() - began < 1
