"""Where access tokens come from: WeChat, a token server, a command, or a setting."""

import json
import re
import subprocess
import tempfile
from typing import Any, Protocol

from syncjob.commands import run_command
from syncjob.errors import NeedsOperator
from syncjob.model.cleaning import integer
from syncjob.model.replies import AccessToken, MalformedReply
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.transport import Transport

COMMAND_TIMEOUT = 60.0
MAX_OUTPUT_BYTES = 65_536  # bytes


def _from_answer(answer: dict[str, Any]) -> AccessToken:
    """Parse `{"access_token": …, "expires_in": 7200}`."""
    value, expires_in = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not _is_token(value):
        raise MalformedReply("no usable access_token")
    seconds = integer(expires_in)
    if seconds is None and expires_in is not None:
        raise MalformedReply("an expires_in that is no number")
    # Documented: two hours at most. A day leaves room for a change.
    return AccessToken(value, None if seconds is None else max(0, min(seconds, 86_400)))


def _is_token(value: str) -> bool:
    """Return whether the text may be a token (no alphabet is documented) and not some page."""
    return re.fullmatch(r"[A-Za-z0-9_.~+/=!|:-]+", value) is not None


KEYS = frozenset({"access_token", "expires_in"})
STABLE_TOKEN = Endpoint(
    method="POST", path="/cgi-bin/stable_token", parse=_from_answer, keys=KEYS, issues_tokens=True
)
CLASSIC_TOKEN = Endpoint(
    method="GET", path="/cgi-bin/token", parse=_from_answer, keys=KEYS, issues_tokens=True
)
TOKEN_SERVER = Endpoint(
    method="GET", path="", parse=_from_answer, keys=KEYS, bare="access_token", issues_tokens=True
)


class TokenSource(Protocol):
    """Where a new token comes from; `name` is used in messages.

    `shared`: whether the token is stored for other runs.
    """

    name: str
    shared: bool

    def get_new(self) -> AccessToken:
        """Return a new token; raise WeChatError if there is none."""


class StableToken:
    """POST /cgi-bin/stable_token in normal mode: does not invalidate other programs' tokens.

    Repeated calls return the same token with its remaining lifetime
    (doc/service/api/base/api_getstableaccesstoken). force_refresh would invalidate it, and is never
    used.
    """

    name = "WeChat's stable_token (SYNCJOB_APPID, SYNCJOB_APPSECRET, SYNCJOB_API_URL)"
    shared = True

    def __init__(self, transport: Transport, appid: str, appsecret: str) -> None:
        self._transport = transport
        self._body = {
            "grant_type": "client_credential",
            "appid": appid,
            "secret": appsecret,
            "force_refresh": False,
        }

    def get_new(self) -> AccessToken:
        """Ask WeChat for the account's stable token."""
        return self._transport.call(STABLE_TOKEN, body=self._body)


class ClassicToken:
    """GET /cgi-bin/token: issues a new token and invalidates the previous one.

    (doc/oplatform/developers/dev/AccessToken.html)
    """

    name = "WeChat's token (SYNCJOB_APPID, SYNCJOB_APPSECRET, SYNCJOB_API_URL)"
    shared = True

    def __init__(self, transport: Transport, appid: str, appsecret: str) -> None:
        self._transport = transport
        self._params = {"grant_type": "client_credential", "appid": appid, "secret": appsecret}

    def get_new(self) -> AccessToken:
        """Ask WeChat for a new token."""
        return self._transport.call(CLASSIC_TOKEN, params=self._params)


class TokenURL:
    """A central token server (中控服务器): GET answers WeChat's JSON, or the bare token.

    `transport` has the server's whole address, which may contain a key.
    """

    name = "the token server of SYNCJOB_TOKEN_URL"
    shared = False

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get_new(self) -> AccessToken:
        """Ask the server."""
        return self._transport.call(TOKEN_SERVER)


class TokenCommand:
    """A command that prints what a token server answers. It is run without a shell."""

    name = "the command of SYNCJOB_TOKEN_COMMAND"
    shared = False

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def get_new(self) -> AccessToken:
        """Run the command; its stderr goes to ours."""
        name = self.name
        try:
            # A file, not a pipe: a child of the command may keep a pipe open.
            with tempfile.TemporaryFile() as output:
                code = run_command(self._words, timeout=COMMAND_TIMEOUT, stdout=output)
                output.seek(0)
                said = output.read(MAX_OUTPUT_BYTES)
        except FileNotFoundError:
            raise NeedsOperator(f"{name} was not found: {self._words[0]}") from None
        except OSError as error:
            raise NeedsOperator(f"{name} cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise NeedsOperator(f"{name} did not end within {COMMAND_TIMEOUT:.0f} s") from None
        if code != 0:
            raise NeedsOperator(f"{name} ended with exit code {code}")
        return _from_text(said.decode("utf-8", "replace"), name)


class FixedToken:
    """A token from the settings, for a one-off backfill."""

    name = "SYNCJOB_ACCESS_TOKEN"
    shared = False

    def __init__(self, value: str) -> None:
        self._token = AccessToken(value, None)

    def get_new(self) -> AccessToken:
        """Return that token."""
        return self._token


def _from_text(text: str, source: str) -> AccessToken:
    text = text.strip()
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {"access_token": text}
    try:
        return _from_answer(answer if isinstance(answer, dict) else {"access_token": answer})
    except MalformedReply as malformed:
        raise NeedsOperator(
            f"{source} gave {malformed}; expected JSON with access_token and expires_in, or the "
            "bare token"
        ) from None
