"""Access tokens: kept, compared, refreshed once, and never fetched in a loop."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncjob.errors import TokenContested, TokenRejected
from syncjob.model.replies import AccessToken, TokenClaim
from syncjob.wechat.tokens import MAX_REJECTIONS, REJECTION_WINDOW, Tokens
from tests.conftest import World
from tests.loopback import answering

Query = Callable[..., list[Any]]


@pytest.fixture
def ready(serve: Callable[..., World], sqlite_url: str) -> Callable[..., World]:
    """A served WeChat and a fresh SQLite file."""

    def start(followers: int = 250, **switches: Any) -> World:
        wechat = serve(followers, page_size=100, **switches)
        wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_SWEEP_EVERY="0")
        return wechat

    return start


@pytest.mark.parametrize(("source", "endpoint"), [("stable", "stable_token"), ("classic", "token")])
def test_one_token_serves_many_runs(
    ready: Callable[..., World], source: str, endpoint: str
) -> None:
    """A token is kept in the database and used by the next runs until it is nearly over."""
    wechat = ready()
    wechat.set(SYNCJOB_TOKEN_SOURCE=source)

    for _ in range(3):
        assert wechat.run("sync") == 0

    assert wechat.simulator.count(endpoint) == 1


def test_the_margin_never_eats_the_whole_life(
    ready: Callable[..., World], sqlite_query: Query
) -> None:
    """A token that lives 7200 s is used for 6900, one with 300 s left for half of them."""
    wechat = ready()
    wechat.run("sync")
    seconds = "SELECT round((julianday(refresh_at) - julianday(fetched_at)) * 86400) FROM {}"
    assert sqlite_query(seconds.format("access_tokens")) == [(6900.0,)]
    assert AccessToken("t", 300).usable_for == 150
    assert AccessToken("t", 0).usable_for == 0


def test_a_stored_token_whose_time_is_up_is_replaced(
    ready: Callable[..., World], sqlite_query: Query
) -> None:
    """A token past its margin is not used any more, though WeChat might still take it."""
    wechat = ready()
    wechat.run("sync")
    sqlite_query("UPDATE access_tokens SET refresh_at = fetched_at")

    wechat.run("sync")

    assert wechat.simulator.count("stable_token") == 2


def test_a_stored_token_does_not_cover_up_that_the_secret_is_wrong(
    ready: Callable[..., World], sqlite_query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong one fails at the next run; the right one finds its token again."""
    wechat = ready()
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    ((kept, credentials),) = sqlite_query("SELECT access_token, credentials FROM access_tokens")
    assert wechat.simulator.secret not in credentials

    wechat.set(SYNCJOB_APPSECRET="0" * 32)
    assert wechat.run("sync") == 3
    assert "40125" in capsys.readouterr().err

    wechat.set(SYNCJOB_APPSECRET=wechat.simulator.secret)
    assert wechat.run("sync") == 0
    assert sqlite_query("SELECT access_token FROM access_tokens") == [(kept,)]
    assert wechat.simulator.count("stable_token") == 2


def test_a_stored_token_of_credentials_that_nobody_knows_is_used(
    ready: Callable[..., World], sqlite_query: Query
) -> None:
    """One from before they were written down, or that somebody else has put there."""
    wechat = ready()
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    sqlite_query("UPDATE access_tokens SET credentials = NULL")
    assert wechat.run("sync") == 0
    assert wechat.simulator.count("stable_token") == 1


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
@pytest.mark.parametrize("endpoint", ["user/get", "user/info/batchget"])
def test_a_rejected_token_is_replaced_and_the_call_repeated(
    ready: Callable[..., World], endpoint: str, errcode: int
) -> None:
    """A token that WeChat rejects in mid-run is replaced once, and nothing is lost."""
    wechat = ready()
    wechat.simulator.faults.add(f"{endpoint}={errcode}@2")

    assert wechat.run("sync") == 0
    assert wechat.simulator.count("stable_token") == 2


def test_a_token_of_512_characters_and_more_is_kept(
    ready: Callable[..., World], sqlite_query: Query
) -> None:
    """WeChat asks for room for 512 characters; the column has no end."""
    wechat = ready(0)
    token = "T" * 1024
    reply = json.dumps({"access_token": token, "expires_in": 7200}).encode()
    page = b'{"total":0,"count":0,"next_openid":""}'
    with answering([reply, page]) as server:
        wechat.set(SYNCJOB_API_URL=server.url)
        assert wechat.run("sync") == 0
    assert sqlite_query("SELECT access_token FROM access_tokens") == [(token,)]


def test_a_token_that_another_program_keeps_killing_ends_the_run(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that fights another program for the token stops, with few token calls, and says so."""
    wechat = ready(5000)
    wechat.simulator.on_request = lambda request: (
        wechat.simulator.kill_tokens() if "token" not in request.endpoint else None
    )

    assert wechat.run("sync") == 3

    assert "another program is refreshing this account's token" in capsys.readouterr().err
    assert wechat.simulator.count("stable_token") <= 3


def test_an_intruder_now_and_then_ends_the_run_before_the_quota_is_burnt(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A token killed every few calls is refreshed a few times, then the run stops."""
    wechat = ready(5000, intruder_every=5)

    assert wechat.run("sync") == 3

    assert "another program" in capsys.readouterr().err
    assert wechat.simulator.count("stable_token") <= 1 + MAX_REJECTIONS


class Source:
    """A token source that counts, and returns the given values."""

    def __init__(self, *values: str, shared: bool = True) -> None:
        self.shared = shared
        self.left = list(values)

    def get_new(self) -> AccessToken:
        return AccessToken(self.left.pop(0), 7200)


class Shelf:
    """A shelf that another process may write to."""

    token: str | None = None

    def get(self) -> str | None:
        return self.token

    def claim(self, rejected: str | None) -> TokenClaim:
        if self.token not in (None, rejected):
            return TokenClaim(token=self.token)
        return TokenClaim(generation=1)

    def save(self, token: AccessToken, generation: int) -> str:
        self.token = token.value
        return token.value

    def give_up(self, generation: int) -> None:
        """Nobody waits."""


REJECTED = TokenRejected("WeChat /cgi-bin/user/get answered 40001", errcode=40001)


def test_a_token_that_somebody_refreshed_meanwhile_is_used_without_a_call() -> None:
    """If the stored token is no longer the rejected one, it is used and nothing is fetched."""
    shelf, source = Shelf(), Source("old")
    tokens = Tokens(source, shelf)
    assert tokens.get() == "old"
    shelf.token = "newer"

    assert tokens.replace("old", REJECTED) == "newer"
    assert tokens.get() == "newer"
    assert source.left == []


def test_rejections_an_hour_apart_are_no_fight() -> None:
    """A long run whose token is refused now and then goes on; a burst of refusals ends it."""
    now = [0.0]
    tokens = Tokens(Source(*map(str, range(100))), Shelf(), monotonic=lambda: now[0])
    for _ in range(10):
        now[0] += REJECTION_WINDOW
        tokens.replace(tokens.get(), REJECTED)
    for _ in range(MAX_REJECTIONS - 1):
        tokens.replace(tokens.get(), REJECTED)
    with pytest.raises(TokenContested):
        tokens.replace(tokens.get(), REJECTED)


# --- tokens from elsewhere ----------------------------------------------------------------


def good_token(wechat: World) -> str:
    """A token that this WeChat accepts."""
    import requests

    answer = requests.post(
        f"{wechat.url}/cgi-bin/stable_token",
        json={
            "grant_type": "client_credential",
            "appid": wechat.simulator.appid,
            "secret": wechat.simulator.secret,
        },
        timeout=5,
    ).json()
    return str(answer["access_token"])


@pytest.mark.parametrize("form", ["json", "bare"])
def test_a_token_server_is_asked_for_the_token(ready: Callable[..., World], form: str) -> None:
    """SYNCJOB_TOKEN_URL answers JSON or the bare token; WeChat is not asked for one."""
    wechat = ready()
    token = good_token(wechat)
    body = (
        json.dumps({"access_token": token, "expires_in": 7000}) if form == "json" else f"{token}\n"
    )
    with answering([body.encode()], content_type="text/plain") as server:
        wechat.set(
            SYNCJOB_TOKEN_SOURCE="url", SYNCJOB_TOKEN_URL=f"{server.url}/token/s3cr3t?key=k3y"
        )
        assert wechat.run("sync") == 0
        assert [target for _, target, _ in server.requests] == ["/token/s3cr3t?key=k3y"]
    assert wechat.simulator.count("stable_token") == 1, "our own, above"


def test_a_token_server_that_repeats_a_rejected_token_is_named(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """If the very token that was rejected comes back, the run stops and says so."""
    wechat = ready()
    with answering([b'{"access_token":"99_stale","expires_in":7200}']) as server:
        wechat.set(SYNCJOB_TOKEN_SOURCE="url", SYNCJOB_TOKEN_URL=f"{server.url}/token?key=k3y")
        assert wechat.run("sync") == 3
        assert len(server.requests) == 2

    words = capsys.readouterr().err
    assert "returned the very token that WeChat had just refused" in words
    assert "99_stale" not in words
    assert "k3y" not in words


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b'{"access_token":7}', b"two words"])
def test_a_token_server_that_gives_no_token_is_named(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    """An answer that holds no token ends with 75: the server may be at fault only now."""
    wechat = ready()
    with answering([body]) as server:
        wechat.set(SYNCJOB_TOKEN_SOURCE="url", SYNCJOB_TOKEN_URL=f"{server.url}/token?key=k3y")
        assert wechat.run("sync") == 75
    words = capsys.readouterr().err
    assert "SYNCJOB_TOKEN_URL" in words
    assert "k3y" not in words


def script(path: Path, code: str) -> str:
    """A command that runs the code."""
    path.write_text(code)
    return shlex.join([sys.executable, str(path)])


def test_a_command_prints_the_token(ready: Callable[..., World], tmp_path: Path) -> None:
    """SYNCJOB_TOKEN_COMMAND's output is the token; no shell looks at its words."""
    wechat = ready()
    command = script(
        tmp_path / "a token.py",
        f"import sys; assert sys.argv[1:] == ['$HOME', '*']; print({good_token(wechat)!r})",
    )
    wechat.set(SYNCJOB_TOKEN_SOURCE="command", SYNCJOB_TOKEN_COMMAND=f"{command} '$HOME' '*'")

    assert wechat.run("sync") == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [("raise SystemExit(9)", "exit code 9"), ("", "no usable access_token")],
)
def test_a_command_that_fails_is_named(
    ready: Callable[..., World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: str,
    words: str,
) -> None:
    """A token command that fails or says nothing ends with 3 and what it did."""
    wechat = ready()
    wechat.set(
        SYNCJOB_TOKEN_SOURCE="command", SYNCJOB_TOKEN_COMMAND=script(tmp_path / "t.py", code)
    )

    assert wechat.run("sync") == 3
    said = capsys.readouterr().err
    assert "SYNCJOB_TOKEN_COMMAND" in said
    assert words in said


def test_a_command_whose_child_lives_on_is_not_waited_for(
    ready: Callable[..., World], tmp_path: Path
) -> None:
    """A token command may leave a process behind that keeps its output open."""
    wechat = ready()
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], "
    code += f"stdin=subprocess.PIPE); print({good_token(wechat)!r}, flush=True)"
    wechat.set(
        SYNCJOB_TOKEN_SOURCE="command", SYNCJOB_TOKEN_COMMAND=script(tmp_path / "t.py", code)
    )
    assert wechat.run("sync") == 0


def test_a_command_that_is_not_there_is_named(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A token command that does not exist ends with 3 and its name."""
    wechat = ready()
    wechat.set(SYNCJOB_TOKEN_SOURCE="command", SYNCJOB_TOKEN_COMMAND="/no/such/command --now")

    assert wechat.run("sync") == 3
    assert "/no/such/command" in capsys.readouterr().err


def test_a_fixed_token_is_used_and_its_end_is_said(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """SYNCJOB_ACCESS_TOKEN is used as it is; refused, it ends with 3 and asks for a fresh one."""
    wechat = ready()
    (tmp_path / "token").write_text(good_token(wechat) + "\n")
    (tmp_path / "token").chmod(0o600)
    wechat.set(SYNCJOB_TOKEN_SOURCE="fixed", SYNCJOB_ACCESS_TOKEN_FILE=str(tmp_path / "token"))
    assert wechat.run("backfill") == 0

    wechat.simulator.kill_tokens()
    assert wechat.run("backfill") == 3
    assert "set a fresh one" in capsys.readouterr().err
    assert wechat.simulator.count("stable_token") == 1, "our own, above"
