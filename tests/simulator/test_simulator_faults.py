"""The simulator's errors, quotas and faults, and the format of its answers."""

import re
import socket
import threading
from typing import Any

import pytest
import requests

from syncjob.simulator import Request, Simulator
from tests.simulator_calls import calling, small


def test_a_daily_quota_lasts_until_midnight_in_beijing() -> None:
    """Above the quota, other programs' calls included, the answer is 45009 until midnight."""
    with calling(small(), daily_quota={"user/get": 3}) as wechat:
        wechat.simulator.spend_quota("user/get", 1)
        assert [wechat.page().get("errcode") for _ in range(3)] == [None, None, 45009]
        assert "errcode" not in wechat.batch([wechat.account.openid(0)]).json()
        wechat.clock.now += 3199
        assert wechat.page()["errcode"] == 45009
        wechat.clock.now += 1
        assert "errcode" not in wechat.page()


def test_a_minute_quota_lasts_a_minute() -> None:
    """Above the quota the answer is 45011 for the rest of the minute."""
    with calling(small(), minute_quota={"user/get": 1}) as wechat:
        assert [wechat.page().get("errcode") for _ in range(2)] == [None, 45011]
        wechat.clock.now += 60
        assert "errcode" not in wechat.page()


def test_a_fault_hits_the_calls_it_names() -> None:
    """Calls count from 1 by endpoint; `clear` removes the faults; records name the fault."""
    with calling(small()) as wechat:
        wechat.simulator.faults.add("user/get=-1@2-3")
        wechat.simulator.faults.add("user/get=40001@5-")
        wechat.simulator.faults.add("user/info=48001")
        errcodes = [wechat.page().get("errcode") for _ in range(6)]
        assert errcodes == [None, -1, -1, None, 40001, 40001]
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
def test_a_fault_changes_the_answer(what: str, status: int, pattern: bytes) -> None:
    """Each kind of fault has its status or body."""
    with calling(small()) as wechat:
        wechat.simulator.faults.add(f"*={what}")
        answer = wechat.get("user/get")
        assert answer.status_code == status
        assert re.fullmatch(pattern, answer.content, re.DOTALL)


def test_an_answer_can_be_late_cut_off_or_missing() -> None:
    """A slow answer is correct, a torn one is cut off, a dropped or hanging one never arrives."""
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
def test_a_malformed_fault_is_rejected(spec: str) -> None:
    """An invalid spec raises a ValueError that quotes it."""
    with pytest.raises(ValueError, match=re.escape(repr(spec))):
        Simulator(small()).faults.add(spec)


@pytest.mark.parametrize(
    "wrong",
    [{"page_size": 0}, {"intruder_every": -1}, {"loop": "x"}, {"daily_quota": {"tags/get": 1}}],
)
def test_an_invalid_switch_is_rejected(wrong: dict[str, Any]) -> None:
    """An invalid value raises a ValueError when the simulator is created."""
    with pytest.raises(ValueError, match=r"must be|cannot be|no endpoint"):
        Simulator(small(), **wrong)


def test_malformed_requests_are_rejected() -> None:
    """Form bodies are 47001, empty ones 44002, GET is 43002, unknown paths are 40066."""
    with calling(small()) as wechat:
        url = f"{wechat.url}/cgi-bin/user/info/batchget?access_token={wechat.token}"
        assert wechat.session.post(url, data={"user_list": "[]"}).json()["errcode"] == 47001
        assert wechat.session.post(url).json()["errcode"] == 44002
        assert wechat.session.get(url).json()["errcode"] == 43002
        assert wechat.get("stable_token").json()["errcode"] == 43002
        assert wechat.get("user/nothing").json()["errcode"] == 40066


def test_a_chunked_post_is_rejected() -> None:
    """A POST without Content-Length is 412 with an empty body; the connection stays open."""
    with calling(small()) as wechat:
        for endpoint in ("stable_token", "user/info/batchget"):
            url = f"{wechat.url}/cgi-bin/{endpoint}?access_token={wechat.token}"
            answer = wechat.session.post(url, data=iter([b"{", b"}"]))
            assert (answer.status_code, answer.content) == (412, b"")
        assert wechat.page()["count"] == 10


def test_answers_have_wechats_headers() -> None:
    """The headers have encoding=utf-8, keep-alive and Content-Length; the body is compact."""
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
    """Requests may arrive in any portions; a late first answer is sent before the second."""
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
            answers = plain.makefile("rb").read()
        assert re.findall(rb'"errcode":(\d+)', answers) == [b"40066", b"41001"]


def test_counts_are_kept_when_calls_are_not_recorded() -> None:
    """With record=False there are counts, but no list of calls."""
    with calling(small(), record=False) as wechat:
        wechat.page()
        assert wechat.simulator.requests == []
        assert wechat.simulator.counts == {"stable_token": 1, "user/get": 1}
