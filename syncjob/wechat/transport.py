"""Calls to WeChat: retry policy, decoding, and the error that each answer means.

One policy for all endpoints. No message contains a token or a secret, not even one that the answer
echoes.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from tenacity import RetryCallState, Retrying, stop_before_delay, wait_random_exponential
from tenacity.stop import stop_base

from syncjob.errors import (
    AnswerUnreadable,
    ForeignReply,
    QuotaExhausted,
    QuotaReserved,
    SettingsError,
    UnexpectedReply,
    WeChatError,
    WeChatUnavailable,
    in_one_line,
)
from syncjob.model.replies import MalformedReply
from syncjob.model.runs import Traffic
from syncjob.wechat.decoding import decode, errcode_of, is_foreign, shown_keys
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.errcodes import error_of, meaning_of
from syncjob.wechat.gate import Gate
from syncjob.wechat.http import Answer, HttpClient, RequestFailed
from syncjob.wechat.pace import Pace
from syncjob.wechat.quotas import Quotas
from syncjob.wechat.tally import Tally

logger = logging.getLogger(__name__)

MAX_BACKOFF = 16.0  # seconds
MAX_RETRY_AFTER = 120.0  # seconds; a longer Retry-After fails the call
MAX_CALL_SECONDS = 300.0  # no attempt starts later than this
RETRIED_STATUSES = frozenset({408, 425, 429, *range(500, 600)})

T = TypeVar("T")


class Retryable(Exception):
    """A failure worth a retry after at least `wait` seconds.

    `error` is raised when the attempts are used up, `if_always` when every attempt ended this way.
    """

    def __init__(
        self, error: WeChatError, *, wait: float = 0, if_always: WeChatError | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait
        self.if_always = if_always


class Transport:
    """Calls to one address, up to `threads` at once. Thread-safe.

    `name` is used in messages. `quotas` counts each request and may refuse it. Without `patient`,
    nothing is retried. Tests may replace `sleep`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        name: str = "WeChat",
        threads: int = 1,
        quotas: Quotas | None = None,
        patient: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.gate = Gate()  # checked before each request, retries included
        self._patient = patient
        self._address = urlsplit(base_url)
        self._name = name
        self._sleep = sleep
        self._tally = Tally()
        self._quotas = quotas
        self._backoff = wait_random_exponential(multiplier=1, max=MAX_BACKOFF)
        self._pace = Pace(threads, sleep=sleep)
        self._http = HttpClient(base_url, timeout=timeout, threads=threads)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    @property
    def traffic(self) -> Traffic:
        """The requests sent so far."""
        spent = self._quotas.spent if self._quotas is not None else ()
        calls, retries, failed = self._tally.counts
        return Traffic(calls, retries, spent, failed)

    def call(
        self,
        endpoint: Endpoint[T],
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> T:
        """Call an endpoint and return its parsed answer.

        Transient failures (busy, minute quota, network, gateway pages, answers that cannot be
        parsed) are retried with exponential backoff and full jitter, no sooner than WeChat asks:
        `attempts` requests in all, within MAX_CALL_SECONDS. After that, and for all other failures,
        raises the WeChatError that the answer means. Raises QuotaReserved where no call is left.
        """

        def attempt(*, has_waited: bool = False) -> T:
            with self._pace.kept(has_waited=has_waited):
                self.gate.check(endpoint.path)
                if self._quotas is not None:
                    self._quotas.spend(endpoint.path)
                self._tally.call()
                answer = self._send(endpoint, params, body)
            if endpoint.documented is not None and answer.status < 300:
                read = endpoint.documented(answer.content)
                if read is not None:
                    return read
            return self._read(endpoint, answer, {**(params or {}), **(body or {})})

        endings: list[WeChatError | None] = []

        def ending(failure: Retryable) -> WeChatError:
            """Return the error of the whole call, whose last attempt failed so."""
            always = endings[-1] if all(endings) else None
            return always or failure.error

        def counted(*, has_waited: bool = False) -> T:
            try:
                return attempt(has_waited=has_waited)
            except QuotaReserved:  # not sent
                raise
            except Retryable as failure:
                self._tally.fail(endpoint.path, failure.error.errcode)
                endings.append(failure.if_always)
                raise
            except WeChatError as error:
                self._tally.fail(endpoint.path, error.errcode)
                raise

        try:
            return counted()
        except Retryable as failure:
            if not self._patient:
                raise ending(failure) from None
            failed_first = [failure]  # counts as the first attempt

        def attempt_again() -> T:
            if failed_first:
                raise failed_first.pop()
            return counted(has_waited=True)

        retrying = Retrying(
            stop=_StopRetrying(endpoint),
            wait=self._wait,
            retry=lambda state: isinstance(_error(state), Retryable),
            before_sleep=self._before_retry,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(attempt_again)
        except Retryable as failure:
            raise ending(failure) from None

    def _wait(self, state: RetryCallState) -> float:
        error = _error(state)
        least = error.wait if isinstance(error, Retryable) else 0
        return least + self._backoff(state)

    def _before_retry(self, state: RetryCallState) -> None:
        self._tally.retry()
        logger.info(
            "Asking again. attempt=%d wait=%.1fs reason=%s",
            state.attempt_number + 1,
            state.upcoming_sleep,
            in_one_line(_error(state)),
        )

    def _send(
        self, endpoint: Endpoint[T], params: dict[str, str] | None, body: dict[str, Any] | None
    ) -> Answer:
        try:
            return self._http.send(endpoint.method, endpoint.path, params, body)
        except RequestFailed as broken:
            raise Retryable(
                WeChatUnavailable(
                    f"{self._named(endpoint)} cannot be reached at {self._host}: {broken}\n"
                    "check the network, the proxy and the address; the next run goes on",
                    of_one_openid=True,
                )
            ) from None
        except SettingsError as error:
            raise SettingsError(f"{self._name} cannot be asked: {error}") from None

    def _read(self, endpoint: Endpoint[T], answer: Answer, sent: dict[str, Any]) -> T:
        """Return the parsed answer; raise the error that it means."""
        said = decode(answer.content)
        if endpoint.bare is not None and not isinstance(said, dict):
            said = {endpoint.bare: answer.content.decode("utf-8", "replace").strip()}
        errcode = errcode_of(said)
        if errcode:
            errmsg = said.get("errmsg")
            error = error_of(
                errcode,
                self._redacted(errmsg if isinstance(errmsg, str) else "", sent),
                who=self._named(endpoint),
                token_endpoint=endpoint.issues_tokens,
            )
            if isinstance(error, QuotaExhausted):
                error.cgi_path = endpoint.path
            wait = meaning_of(errcode, token_endpoint=endpoint.issues_tokens).wait
            raise error if wait is None else self._retryable(error, wait, answer)
        if not isinstance(said, dict) or answer.status >= 300:
            raise self._not_an_answer(endpoint, answer)
        try:
            return endpoint.parse(said)
        except MalformedReply as malformed:
            words = f"{self._named(endpoint)} answered {malformed}; the next run goes on"
            foreign = self._foreign(endpoint, said) if is_foreign(said, endpoint.keys) else None
            raise Retryable(
                WeChatUnavailable(words, of_one_openid=True), if_always=foreign
            ) from None

    def _foreign(self, endpoint: Endpoint[T], said: dict[str, Any]) -> WeChatError:
        return ForeignReply(
            f"{self._named(endpoint)} answered JSON that is not in WeChat's form (it has "
            f"{shown_keys(said)}), at {self._host}: the answer came through a gateway that wraps "
            "it, or that answers itself\n"
            "have it pass on WeChat's own JSON unchanged, or name another address"
        )

    def _not_an_answer(self, endpoint: Endpoint[T], answer: Answer) -> Exception:
        status = answer.status
        words = f"{self._named(endpoint)} answered HTTP {status} and no JSON of WeChat's, "
        words += f"at {self._host}"
        if status == 200 and answer.content.lstrip().startswith(b"{"):  # not a gateway's page
            return Retryable(AnswerUnreadable(f"{words}; the next run goes on"))
        if status in RETRIED_STATUSES or status < 300:
            # A page or a 5xx may concern one OpenID; "slow down" concerns all calls.
            error = WeChatUnavailable(
                f"{words}; the next run goes on", of_one_openid=status < 300 or status >= 500
            )
            return self._retryable(error, 0, answer)
        return UnexpectedReply(f"{words}\ncheck the address and the proxy")

    def _retryable(self, error: WeChatError, wait: float, answer: Answer) -> Exception:
        """Return the failure; slow down all calls if a wait was asked for."""
        wait = max(wait, answer.retry_after or 0)
        error.of_one_openid = error.of_one_openid and not wait
        if wait > MAX_RETRY_AFTER:
            said = str(error).split("\n")[0]
            return type(error)(
                f"{said}, and wants to be left alone for {wait:.0f} s\nthe next run goes on",
                errcode=error.errcode,
                rid=error.rid,
            )
        if wait:
            self._pace.slow_down(wait)
        return Retryable(error, wait=wait)

    def _redacted(self, text: str, sent: dict[str, Any]) -> str:
        """Mask each credential that was sent, plain or percent-encoded."""
        address = self._address
        secrets = [str(sent.get(name) or "") for name in ("access_token", "secret")]
        secrets += [value for _, value in parse_qsl(address.query)] + [address.password or ""]
        for secret in filter(None, secrets):
            for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}:
                text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
        return text

    def _named(self, endpoint: Endpoint[T]) -> str:
        return f"{self._name} {endpoint.path}".rstrip()

    @property
    def _host(self) -> str:
        return self._address.netloc.rpartition("@")[2]


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


class _StopRetrying(stop_base):
    """Stop the retries of one call: by attempts, by garbled answers, and by time."""

    def __init__(self, endpoint: Endpoint[Any]) -> None:
        self._attempts = endpoint.attempts
        self._garbled_left = endpoint.garbled_attempts
        self._too_late = stop_before_delay(MAX_CALL_SECONDS)

    def __call__(self, state: RetryCallState) -> bool:
        error = _error(state)
        if isinstance(error, Retryable) and isinstance(error.error, AnswerUnreadable):
            self._garbled_left -= 1
        if state.attempt_number >= self._attempts or self._garbled_left <= 0:
            return True
        return self._too_late(state)
