"""How notices are sent: what a webhook is sent and what its answer means, and what a command gets.

An address of a bot's is reached by its own name: a proxy of the environment stands in its place.
"""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from syncjob.config import Secret
from syncjob.notices.channels import WEBHOOK_TIMEOUT, NotSent, Webhook
from syncjob.notices.notice import LONGEST_TEXT, Notice
from tests.conftest import World
from tests.loopback import Server, answering

KEY = "canary-0123456789abcdef"
FAILED = Notice(
    event="failed",
    appid="wx1",
    host="crm",
    command="sync",
    run=7,
    exit_code=3,
    errcode=40164,
    message="WeChat answered 40164 <invalid> & 公众号; add 203.0.113.7 to the IP whitelist",
)
OF_TENCENT = {"msgtype": "text", "text": {"content": FAILED.text}}
OF_FEISHU = {"msg_type": "text", "content": {"text": FAILED.text}}
OF_SLACK = {
    "text": FAILED.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
}

BOTS: list[tuple[str, str, bytes, Any]] = [
    # the address, the form by name, what all is well looks like, what is sent
    ("qyapi.weixin.qq.com/cgi-bin/webhook/send?key=", "wecom", b'{"errcode":0}', OF_TENCENT),
    ("oapi.dingtalk.com/robot/send?access_token=", "dingtalk", b'{"errcode":0}', OF_TENCENT),
    ("open.feishu.cn/open-apis/bot/v2/hook/", "feishu", b'{"code":0,"msg":"success"}', OF_FEISHU),
    ("open.larksuite.com/open-apis/bot/v2/hook/", "feishu", b'{"StatusCode":0}', OF_FEISHU),
    ("hooks.slack.com/services/T0/B0/", "slack", b"ok", OF_SLACK),
    ("alerts.example/hook/", "json", b"", FAILED.as_json()),
]


@pytest.fixture
def as_proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[Server]]:
    """Answer for whatever host is asked."""

    @contextmanager
    def start(body: bytes) -> Iterator[Server]:
        with answering([body]) as server:
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            for name in ("HTTP_PROXY", "http_proxy"):
                monkeypatch.setenv(name, server.url)
            yield server

    return start


@pytest.mark.parametrize(("address", "form", "well", "sent"), BOTS, ids=[bot[0] for bot in BOTS])
def test_the_webhook_format_is_that_of_the_host_or_of_the_setting(
    as_proxy: Callable[..., AbstractContextManager[Server]],
    address: str,
    form: Any,
    well: bytes,
    sent: Any,
) -> None:
    """A bot is sent what it takes; any other server the whole notice."""
    with as_proxy(well) as server:
        Webhook(Secret(f"http://{address}{KEY}"), "auto").send(FAILED)
        Webhook(Secret(f"{server.url}/gateway/{KEY}"), form).send(FAILED)
    assert [json.loads(body) for _, _, body in server.requests] == [sent, sent]
    assert server.requests[0][:2] == ("POST", f"http://{address}{KEY}")
    assert server.headers[0]["content-type"] == "application/json; charset=utf-8"
    assert "公众号".encode() in server.requests[0][2], "as UTF-8, not as escapes"


REFUSALS = [
    ("wecom", b'{"errcode":93000,"errmsg":"invalid webhook url"}', "it answered 93000 invalid"),
    ("dingtalk", b'{"errcode":310000,"errmsg":"keywords not in content"}', "310000 keywords not"),
    ("feishu", b'{"code":19024,"msg":"Key Words Not Found"}', "it answered 19024 Key Words Not"),
    ("feishu", b'{"StatusCode":1}', "it answered 1"),
    ("wecom", b"<html>log in</html>", "none of a bot"),
    ("dingtalk", b"[]", "none of a bot"),
    ("feishu", b"{}", "none of a bot"),
    ("wecom", b'{"errcode":"0"}', "it answered '0'"),
    ("wecom", b"[" * 100_000, "none of a bot"),
]


@pytest.mark.parametrize(("form", "answer", "reason"), REFUSALS)
def test_a_bot_that_answers_with_an_error_counts_as_not_sent(
    form: Any, answer: bytes, reason: str
) -> None:
    """It does with HTTP 200."""
    with answering([answer]) as server, pytest.raises(NotSent) as caught:
        Webhook(Secret(f"{server.url}/{KEY}"), form).send(FAILED)
    assert reason in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 502])
def test_an_answer_that_is_not_2xx_counts_as_not_sent(status: int) -> None:
    """A redirect is not followed: it would take the notice to somebody else."""
    with answering([b""]) as other:
        headers = {"Location": other.url}
        with answering([b""], status=status, headers=headers) as server:
            with pytest.raises(NotSent, match=f"127.0.0.1 answered HTTP {status}"):
                Webhook(Secret(server.url), "auto").send(FAILED)
            assert len(server.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_of_another_server_counts_as_sent(status: int) -> None:
    """Whatever its answer says."""
    with answering([b"" if status == 204 else b'{"errcode":1}'], status=status) as server:
        Webhook(Secret(server.url), "auto").send(FAILED)


def test_a_webhook_that_does_not_answer_is_given_up() -> None:
    """After ten seconds in all; here a tenth of one."""
    assert WEBHOOK_TIMEOUT == 10
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/{KEY}"
        with pytest.raises(NotSent, match=r"^127\.0\.0\.1: no answer within the time allowed$"):
            Webhook(Secret(url), "auto", timeout=0.1).send(FAILED)


@pytest.mark.parametrize("form", ["auto", "wecom"])
def test_a_key_is_in_no_repr_and_in_no_reason(form: Any) -> None:
    """Although the answer says it again."""
    refusal = json.dumps({"errcode": 40014, "errmsg": f"no such key: {KEY} at ?key={KEY}"})
    with answering([refusal.encode()]) as server:
        webhook = Webhook(Secret(f"{server.url}/send?key={KEY}"), form)
        if form == "auto":
            webhook.send(FAILED)
        else:
            with pytest.raises(NotSent) as caught:
                webhook.send(FAILED)
            assert "no such key: *** at" in str(caught.value)
            assert KEY not in str(caught.value)
    assert KEY not in f"{webhook!r} {webhook.shown} {vars(webhook)}"


def test_a_long_message_leaves_room_for_the_cure() -> None:
    """WeCom takes 2048 bytes, and no character is cut in two."""
    for message in ("x" * 5000, "公" * 5000, "a" + "公" * 5000, "公\0\udcff" * 3000):
        long = Notice(
            event="failed", appid="wx1", host="crm", command="sync", exit_code=1, message=message
        )
        assert LONGEST_TEXT - 4 < len(long.text.encode()) <= LONGEST_TEXT
        assert long.text.startswith("syncjob: wx1 failed (sync on crm, exit code 1)\n")
        assert long.text.endswith("\nmore with: syncjob status")
        json.dumps(long.as_json(), ensure_ascii=False).encode()


# --- the command, and trying both out -------------------------------------------------------

LOOK = Path("look.py")
SEEN = Path("seen.json")
SECRETS = {
    "SYNCJOB_APPSECRET_FILE": "appsecret",
    "SYNCJOB_ACCESS_TOKEN": "hunter2",
    "SYNCJOB_TOKEN_URL": "https://tokens.example/?key=hunter2",
    "SYNCJOB_TOKEN_COMMAND": "curl --header hunter2",
    "SYNCJOB_WEBHOOK_URL_FILE": "webhook",
}


def test_the_command_gets_the_notice_and_no_secret(
    serve: Callable[..., World], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON on stdin, the most important as variables, and what else was in the environment."""
    LOOK.write_text(
        "import json, os, sys\n"
        f"json.dump([json.load(sys.stdin), dict(os.environ)], open({str(SEEN)!r}, 'w'))\n"
    )
    wechat = serve(5)
    for name in ("appsecret", "webhook"):
        Path(name).touch(0o600)
    Path("appsecret").write_text(wechat.simulator.secret)
    monkeypatch.delenv("SYNCJOB_APPSECRET")
    monkeypatch.setenv("PAGER_DUTY", "anne")
    wechat.simulator.faults.add("user/get=48001")
    with answering([b""]) as server:
        Path("webhook").write_text(f"{server.url}/hunter2")
        wechat.set(**SECRETS, SYNCJOB_DATABASE_URL=sqlite_url)
        wechat.set(SYNCJOB_ON_FAILURE=f"{sys.executable} '{LOOK}' two\\ words")
        assert wechat.run("sync") == 3
    payload, environ = json.loads(SEEN.read_text())
    assert (payload["event"], payload["errcode"]) == ("failed", 48001)
    assert payload == json.loads(server.requests[0][2])
    assert environ["SYNCJOB_EVENT"] == "failed"
    assert environ["SYNCJOB_TEXT"] == payload["text"]
    assert (environ["SYNCJOB_EXIT_CODE"], environ["SYNCJOB_ERRCODE"]) == ("3", "48001")
    assert environ["PAGER_DUTY"] == "anne"
    assert environ["SYNCJOB_APPID"] == wechat.simulator.appid
    assert not {*SECRETS, "SYNCJOB_APPSECRET", "SYNCJOB_DATABASE_URL"} & environ.keys()
    assert "hunter2" not in json.dumps(environ)
    assert {*SECRETS} <= os.environ.keys()


def test_the_output_of_a_notice_command_goes_where_ours_goes(
    serve: Callable[..., World], capfd: pytest.CaptureFixture[str]
) -> None:
    """Both of its outputs, and the words of each channel after what it did."""
    wechat = serve()
    wechat.set(SYNCJOB_ON_FAILURE="sh -c 'cat > /dev/null; echo out; echo err >&2'")
    assert wechat.run("notify") == 0
    captured = capfd.readouterr()
    assert captured.out.splitlines() == ["out", "command: sent"]
    assert captured.err == "err\n"


def test_notify_tries_every_channel_and_prints_the_results(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a channel; exit code 1 if one was not sent. Needs no other setting."""
    wechat = serve()
    wechat.set(SYNCJOB_APPSECRET="", SYNCJOB_ON_FAILURE="false")
    with answering([b""]) as server:
        wechat.set(SYNCJOB_WEBHOOK_URL=f"{server.url}/{KEY}")
        assert wechat.run("notify") == 1
        assert capsys.readouterr().out.splitlines() == [
            "command: not sent: the command ended with exit code 1",
            "webhook (127.0.0.1, json): sent",
        ]
        wechat.set(SYNCJOB_ON_FAILURE="sh -c 'cat > seen.json'")
        assert wechat.run("notify") == 0
    payload = json.loads(SEEN.read_text())
    assert payload == json.loads(server.requests[1][2])
    assert (payload["event"], payload["exit_code"], payload["run"]) == ("test", 0, None)
    assert payload["text"].startswith(f"syncjob: {wechat.simulator.appid} test (notify on ")
    wechat.set(SYNCJOB_ON_FAILURE="", SYNCJOB_WEBHOOK_FORMAT="wecom")
    with answering([b'{"errcode":93000,"errmsg":"invalid webhook url"}']) as server:
        wechat.set(SYNCJOB_WEBHOOK_URL=f"{server.url}/{KEY}")
        assert wechat.run("-vv", "notify") == 1
    said = capsys.readouterr()
    assert "webhook (127.0.0.1, wecom): not sent: 127.0.0.1: it answered 93000" in said.out
    assert KEY not in said.out + said.err
    assert wechat.simulator.counts == {}


def test_notify_without_a_channel_says_what_to_set(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, like any setting that is missing."""
    wechat = serve()
    assert wechat.run("notify") == 2
    assert "neither SYNCJOB_ON_FAILURE nor SYNCJOB_WEBHOOK_URL" in capsys.readouterr().err


def test_no_line_of_a_run_holds_the_key(
    serve: Callable[..., World], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told, refused, unreachable or not the address of anything, whatever the level."""
    wechat = serve(5)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    wechat.simulator.faults.add("user/get=48001")
    refusal = json.dumps({"errcode": 1, "errmsg": KEY}).encode()
    with answering([refusal]) as server:
        for url, form in (
            (f"http://127.0.0.1:1/{KEY}", "auto"),
            (f"http://me:{KEY}@127.0.0.1:1/{KEY}", "auto"),
            (f"{server.url}/?key={KEY}", "wecom"),
            (f"{server.url}/?key={KEY}", "auto"),
        ):
            wechat.set(SYNCJOB_WEBHOOK_URL=url, SYNCJOB_WEBHOOK_FORMAT=form)
            assert wechat.run("-vv", "sync") == 3
    said = capsys.readouterr().err
    assert said.count("Could not send a notice. channel=webhook reason=127.0.0.1: ") == 3
    assert said.count("Sent a notice. channel=webhook state=3:48001") == 1
    wechat.set(SYNCJOB_WEBHOOK_URL=f"bot/{KEY}")
    assert wechat.run("-vv", "sync") == 2
    said += capsys.readouterr().err
    assert "SYNCJOB_WEBHOOK_URL is no http(s) address" in said
    assert KEY not in said
