"""Access tokens: where they come from, when to ask for another one, and when to stop asking.

A token is a shared, global thing: fetching one may kill the one that the company's website uses.
"""

import json
import logging
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from syncjob.errors import NeedsOperator, TokenContested, WeChatError
from syncjob.model import AccessToken, MalformedReply, TokenClaim
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.transport import Transport

logger = logging.getLogger(__name__)

# Rejections within REJECTION_WINDOW seconds after which another program must be refreshing too:
# the quota is 2 000 tokens a day, and each token it fetches is one that we kill, and back.
MOST_REJECTIONS = 3
REJECTION_WINDOW = 3600.0
COMMAND_TIMEOUT = 60.0
# How long, and how often, somebody else's fetching is waited for; then it is taken over.
PATIENCE = 60.0  # seconds
POLL = 0.2
LONGEST_OUTPUT = 65_536  # bytes


def _from_answer(answer: dict[str, Any]) -> AccessToken:
    """Parse `{"access_token": …, "expires_in": 7200}`."""
    value, expires_in = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not _is_token(value):
        raise MalformedReply("no usable access_token")
    try:
        seconds = None if expires_in is None else int(expires_in)
    except (TypeError, ValueError, OverflowError):
        raise MalformedReply("an expires_in that is no number") from None
    # Two hours at most is what is documented; a day leaves room for a change of that.
    return AccessToken(value, None if seconds is None else max(0, min(seconds, 86_400)))


def _is_token(value: str) -> bool:
    """Tell a token, whose alphabet is promised nowhere, from a page of some other server."""
    return re.fullmatch(r"[A-Za-z0-9_.~+/=!|:-]+", value) is not None


STABLE_TOKEN = Endpoint(
    method="POST", path="/cgi-bin/stable_token", parse=_from_answer, issues_tokens=True
)
CLASSIC_TOKEN = Endpoint(
    method="GET", path="/cgi-bin/token", parse=_from_answer, issues_tokens=True
)
TOKEN_SERVER = Endpoint(
    method="GET", path="", parse=_from_answer, bare="access_token", issues_tokens=True
)


class TokenSource(Protocol):
    """Where a new token comes from. `shared`: whether the token outlives this run in the shelf."""

    shared: bool

    def get_new(self) -> AccessToken:
        """Return a token that WeChat should accept; raise WeChatError if there is none."""


class TokenShelf(Protocol):
    """Where a token is kept between runs, and shared with other processes."""

    def get(self) -> str | None:
        """Return the kept token, unless it is time for a new one."""

    def claim(self, rejected: str | None) -> TokenClaim:
        """Return a good token other than the `rejected` one, or the right to fetch one."""

    def save(self, token: AccessToken, generation: int) -> str:
        """Keep what a claim brought; return the token to use, another's if that is newer."""

    def give_up(self, generation: int) -> None:
        """End a claim that has brought nothing."""


class StableToken:
    """POST /cgi-bin/stable_token in normal mode: leaves every other program's token alone.

    Repeated calls return the same token with the time it has left
    (doc/service/api/base/api_getstableaccesstoken). Never with force_refresh, which kills it.
    """

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
    """GET /cgi-bin/token: issues a new token and dooms the one before it.

    (doc/oplatform/developers/dev/AccessToken.html)
    """

    shared = True

    def __init__(self, transport: Transport, appid: str, appsecret: str) -> None:
        self._transport = transport
        self._params = {"grant_type": "client_credential", "appid": appid, "secret": appsecret}

    def get_new(self) -> AccessToken:
        """Ask WeChat for a new token."""
        return self._transport.call(CLASSIC_TOKEN, params=self._params)


class TokenURL:
    """A central token server (中控服务器): GET answers WeChat's JSON, or the bare token.

    `transport` goes to the server's whole address, since that may hold a key of its own.
    """

    shared = False

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get_new(self) -> AccessToken:
        """Ask the server."""
        return self._transport.call(TOKEN_SERVER)


class TokenCommand:
    """A command that prints what a token server answers. It is run without a shell."""

    shared = False

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def get_new(self) -> AccessToken:
        """Run the command; what it says on stderr goes where ours goes."""
        name = "the command of SYNCJOB_TOKEN_COMMAND"
        try:
            # The operator's own words, split by shlex; no shell sees them.
            # A file, not a pipe: a child of the command's own may keep a pipe open for ever.
            with tempfile.TemporaryFile() as output:
                done = subprocess.run(  # noqa: S603
                    self._words, stdout=output, timeout=COMMAND_TIMEOUT, check=False
                )
                output.seek(0)
                said = output.read(LONGEST_OUTPUT)
        except FileNotFoundError:
            raise NeedsOperator(f"{name} was not found: {self._words[0]}") from None
        except OSError as error:
            raise NeedsOperator(f"{name} cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise NeedsOperator(f"{name} did not end within {COMMAND_TIMEOUT:.0f} s") from None
        if done.returncode != 0:
            raise NeedsOperator(f"{name} ended with exit code {done.returncode}")
        return _from_text(said.decode("utf-8", "replace"), name)


class FixedToken:
    """One token given by hand, for a one-off backfill."""

    shared = False

    def __init__(self, value: str) -> None:
        self._token = AccessToken(value, None)

    def get_new(self) -> AccessToken:
        """Return the one there is."""
        return self._token


class Tokens:
    """The token of one account for one run: kept while it is good, replaced when it is refused.

    Thread-safe: many that need another token at once get the one that the first of them fetches;
    where the source is shared, many processes too. Tests may replace `monotonic`, the clock of its
    age, and `sleep`.
    """

    def __init__(
        self,
        source: TokenSource,
        shelf: TokenShelf,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._source = source
        self._shelf = shelf
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._value: str | None = None
        self._until: float | None = None
        self._rejections: list[float] = []

    def get(self) -> str:
        """Return the token to use now, fetching one only if none is stored that is still good."""
        with self._lock:
            if self._value is not None and (self._until is None or self._monotonic() < self._until):
                return self._value
            if self._value is None and self._source.shared:
                stored = self._shelf.get()
                if stored is not None:
                    return self._take(stored)
            return self._get_another(None)

    def replace(self, rejected: str, error: WeChatError) -> str:
        """Return another token than the one that a business call rejected with `error`.

        Somebody may have refreshed it meanwhile: then that one is used, and nothing fetched.
        Raises TokenContested where another try cannot help.
        """
        with self._lock:
            if self._value is not None and self._value != rejected:
                return self._value  # another thread was here first
            return self._replace(rejected, error)

    def _replace(self, rejected: str, error: WeChatError) -> str:
        now = self._monotonic()
        self._rejections = [at for at in self._rejections if now - at < REJECTION_WINDOW] + [now]
        if len(self._rejections) > MOST_REJECTIONS:
            raise contested(error)
        if isinstance(self._source, FixedToken):
            raise _like(
                error,
                "the token of SYNCJOB_ACCESS_TOKEN was refused; it lives two hours at most, "
                "set a fresh one",
            )
        token = self._get_another(rejected)
        if token == rejected and not self._source.shared:
            raise _like(
                error,
                "the token source returned the very token that WeChat had just refused; "
                "have it fetch a new one",
            )
        return token

    def _get_another(self, rejected: str | None) -> str:
        """Return a token other than the rejected one: somebody else's, or one that is fetched."""
        if not self._source.shared:
            return self._fetch().value
        claim = self._claim(rejected)
        if claim.token is not None:
            logger.info("Took the stored token, which is newer.")
            return self._take(claim.token)
        if claim.generation is None:  # who is fetching one cannot be waited for any longer
            return self._fetch().value
        try:
            token = self._fetch()
        except BaseException:
            self._shelf.give_up(claim.generation)
            raise
        kept = self._shelf.save(token, claim.generation)
        return token.value if kept == token.value else self._take(kept)

    def _claim(self, rejected: str | None) -> TokenClaim:
        waited = 0.0
        while True:
            claim = self._shelf.claim(rejected)
            if claim.token is not None or claim.generation is not None or waited >= PATIENCE:
                return claim
            self._sleep(POLL)
            waited += POLL

    def _take(self, stored: str) -> str:
        self._value, self._until = stored, None
        return stored

    def _fetch(self) -> AccessToken:
        token = self._source.get_new()
        logger.info("Got an access token. expires_in=%s", token.expires_in)
        usable_for = token.usable_for
        self._value = token.value
        self._until = None if usable_for is None else self._monotonic() + usable_for
        return token


def contested(error: WeChatError) -> TokenContested:
    """Return the error that says that another program keeps replacing the token."""
    return _like(
        error,
        "another program is refreshing this account's token; let both use stable_token, or "
        "take the token from one place (SYNCJOB_TOKEN_SOURCE=url or command)",
    )


def _like(error: WeChatError, cure: str) -> TokenContested:
    said = str(error).split("\n")[0]
    return TokenContested(f"{said}\n{cure}", errcode=error.errcode, rid=error.rid)


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
