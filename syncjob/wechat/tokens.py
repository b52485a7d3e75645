"""Access tokens: which one to use, when to fetch another, and when to give up.

A token is global to the account: fetching one may invalidate the one that another program uses.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from syncjob.errors import (
    ExitCode,
    QuotaExhausted,
    SyncjobError,
    TokenContested,
    WeChatError,
)
from syncjob.model.replies import AccessToken, TokenClaim
from syncjob.wechat.token_sources import FixedToken, TokenSource

logger = logging.getLogger(__name__)

# More rejections than this within REJECTION_WINDOW seconds mean that another program refreshes the
# token too: the quota is 2 000 tokens a day, and each fetch invalidates the other's token.
MAX_REJECTIONS = 3
REJECTION_WINDOW = 3600.0
# How long to wait for another process that fetches a token, and how often to look.
CLAIM_TIMEOUT = 60.0  # seconds
CLAIM_POLL = 0.2


class TokenStore(Protocol):
    """Stores a token between runs, and shares it with other processes."""

    def get(self) -> str | None:
        """Return the stored token, unless it is about to expire."""

    def claim(self, rejected: str | None) -> TokenClaim:
        """Return a valid token other than the `rejected` one, or the right to fetch one."""

    def save(self, token: AccessToken, generation: int) -> str:
        """Store the token fetched under a claim; return the newest one, which is to be used."""

    def give_up(self, generation: int) -> None:
        """End a claim under which no token was fetched."""

    def forget(self, token: str) -> None:
        """Remove the token, if it is the stored one."""


class Tokens:
    """The token of one account for one run: used until it expires, replaced when it is rejected.

    Thread-safe: threads that need another token at once get the one that the first of them fetches;
    so do processes, where the source is shared. Tests may replace `monotonic`, the clock of the
    token's age, and `sleep`.
    """

    def __init__(
        self,
        source: TokenSource,
        shelf: TokenStore,
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
        self._is_kept = False  # whether `_value` was read from the store
        self._rejections: list[float] = []
        self._failure: SyncjobError | None = None  # of the last attempt to get another one
        self._failures = 0

    @property
    def source_name(self) -> str:
        """Where the current token came from, in words."""
        return "the table access_tokens" if self._is_kept else self._source.name

    def forget(self) -> None:
        """Remove the stored token if this run used it, so that the next run fetches one."""
        with self._lock:
            if self._is_kept and self._value is not None:
                self._shelf.forget(self._value)

    def get(self) -> str:
        """Return the current token; fetch one only if none is valid."""
        failures = self._failures
        with self._lock:
            if self._value is not None and (self._until is None or self._monotonic() < self._until):
                return self._value
            if self._value is None and self._source.shared:
                stored = self._shelf.get()
                if stored is not None:
                    return self._take(stored)
            return self._get_another(None, failures)

    def replace(self, rejected: str, error: WeChatError) -> str:
        """Return another token than the one that a business call rejected with `error`.

        If another program has stored a newer one, that one is used and none is fetched.
        Raises TokenContested where a retry cannot help.
        """
        failures = self._failures
        with self._lock:
            if self._value is not None and self._value != rejected:
                return self._value  # another thread was here first
            return self._replace(rejected, error, failures)

    def _replace(self, rejected: str, error: WeChatError, failures: int) -> str:
        now = self._monotonic()
        self._rejections = [at for at in self._rejections if now - at < REJECTION_WINDOW] + [now]
        if len(self._rejections) > MAX_REJECTIONS:
            raise contested(error)
        if isinstance(self._source, FixedToken):
            raise _like(
                error,
                "the token of SYNCJOB_ACCESS_TOKEN was refused; it lives two hours at most, "
                "set a fresh one",
            )
        token = self._get_another(rejected, failures)
        if token == rejected and not self._source.shared:
            raise _like(
                error,
                "the token source returned the very token that WeChat had just refused; "
                "have it fetch a new one",
            )
        return token

    def _get_another(self, rejected: str | None, failures: int) -> str:
        """Return a token other than the rejected one: a stored one, or one that is fetched.

        A source that fails is asked once, however many threads wait: those that came when there
        were `failures` raise the same error. After a lasting failure all later calls do.
        """
        failure = self._failure
        if failure is not None and (self._failures > failures or not _passes(failure)):
            raise failure
        try:
            return self._find_another(rejected)
        except SyncjobError as error:
            if isinstance(error, WeChatError):
                error.of_one_openid = False  # a token concerns every call
            self._failure = error
            self._failures += 1
            raise

    def _find_another(self, rejected: str | None) -> str:
        if not self._source.shared:
            return self._fetch().value
        claim = self._claim(rejected)
        if claim.token is not None:
            logger.info("Took the stored token, which is newer.")
            return self._take(claim.token)
        if claim.generation is None:  # the other process took too long
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
            if claim.token is not None or claim.generation is not None or waited >= CLAIM_TIMEOUT:
                return claim
            self._sleep(CLAIM_POLL)
            waited += CLAIM_POLL

    def _take(self, stored: str) -> str:
        self._value, self._until, self._is_kept = stored, None, True
        return stored

    def _fetch(self) -> AccessToken:
        token = self._source.get_new()
        logger.info("Got an access token. expires_in=%s", token.expires_in)
        usable_for = token.usable_for
        self._value, self._is_kept = token.value, False
        self._until = None if usable_for is None else self._monotonic() + usable_for
        return token


def _passes(failure: SyncjobError) -> bool:
    is_temporary = failure.exit_code == ExitCode.TRY_AGAIN_LATER
    return is_temporary and not isinstance(failure, QuotaExhausted)


def contested(error: WeChatError) -> TokenContested:
    """Return the error for a token that another program keeps replacing."""
    return _like(
        error,
        "another program is refreshing this account's token; let both use stable_token, or "
        "take the token from one place (SYNCJOB_TOKEN_SOURCE=url or command)",
    )


def _like(error: WeChatError, cure: str) -> TokenContested:
    said = str(error).split("\n")[0]
    return TokenContested(f"{said}\n{cure}", errcode=error.errcode, rid=error.rid)
