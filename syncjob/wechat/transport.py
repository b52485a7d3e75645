"""One HTTP call to WeChat: sent, retried where that can help, decoded, its error told apart.

The only file that imports requests. No error that leaves it holds a URL: WeChat's tokens and
secrets travel in query strings.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, wait_random_exponential

from syncjob import __version__
from syncjob.errors import (
    AnswerUnreadable,
    SettingsError,
    UnexpectedReply,
    WeChatError,
    WeChatUnavailable,
)
from syncjob.model import MalformedReply, Traffic
from syncjob.wechat.decoding import decode, errcode_of
from syncjob.wechat.endpoint import ATTEMPTS, Endpoint
from syncjob.wechat.errcodes import error_of, meaning_of

logger = logging.getLogger(__name__)

LONGEST_BACKOFF = 16.0  # seconds
CONNECT_TIMEOUT = 5.0
HEADERS = {
    "User-Agent": f"syncjob/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}
RETRIED_STATUSES = frozenset({408, 425, 429, *range(500, 600)})

T = TypeVar("T")


class _Passing(Exception):
    """A failure that may pass: `error` is what it is when it does not; `wait` at least (s)."""

    def __init__(self, error: WeChatError, *, wait: float = 0) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class Transport:
    """Pooled connections to one address, called `name` in messages, for up to `threads` at once.

    Thread-safe. Tests may replace `sleep`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        name: str = "WeChat",
        threads: int = 1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url
        self._name = name
        self._timeout = (CONNECT_TIMEOUT, timeout)
        self._sleep = sleep
        self._count = threading.Lock()
        self._calls = self._retries = 0
        self._backoff = wait_random_exponential(multiplier=1, max=LONGEST_BACKOFF)
        # The adapter below a session, since a session would look up the environment's proxies and
        # certificates for every call, which costs as much as the call.
        self._adapter = HTTPAdapter(pool_maxsize=threads)
        self._requests: dict[tuple[str, str], requests.PreparedRequest] = {}
        with requests.Session() as session:
            found = session.merge_environment_settings(base_url, {}, None, None, None)
        self._proxies, self._verify = found["proxies"], found["verify"] or True

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    @property
    def traffic(self) -> Traffic:
        """The requests sent so far."""
        with self._count:
            return Traffic(self._calls, self._retries)

    def call(
        self,
        endpoint: Endpoint[T],
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> T:
        """Call an endpoint and return what it makes of the answer.

        What may pass (busy, minute quota, network, gateway pages, answers that cannot be parsed) is
        tried again, ATTEMPTS times in all, with exponential backoff and full jitter; then, and for
        all else, raises the WeChatError that the answer means.
        """

        def attempt() -> T:
            with self._count:
                self._calls += 1
            response = self._send(endpoint.method, endpoint.path, params, body)
            if endpoint.documented is not None and response.status_code < 300:
                read = endpoint.documented(response.content)
                if read is not None:
                    return read
            return self._read(endpoint, response, {**(params or {}), **(body or {})})

        try:
            return attempt()
        except _Passing as passing:
            failed_first = [passing]  # which is the first of the attempts

        def attempt_again() -> T:
            if failed_first:
                raise failed_first.pop()
            return attempt()

        retrying = Retrying(
            stop=_enough(endpoint.garbled_attempts),
            wait=self._wait,
            retry=lambda state: isinstance(_error(state), _Passing),
            before_sleep=self._before_retry,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(attempt_again)
        except _Passing as passing:
            raise passing.error from None

    def _wait(self, state: RetryCallState) -> float:
        error = _error(state)
        least = error.wait if isinstance(error, _Passing) else 0
        return least + self._backoff(state)

    def _before_retry(self, state: RetryCallState) -> None:
        with self._count:
            self._retries += 1
        logger.info(
            "Asking again. attempt=%d wait=%.1fs reason=%s",
            state.attempt_number + 1,
            state.upcoming_sleep,
            " ".join(str(_error(state)).split()),
        )

    def _read(self, endpoint: Endpoint[T], response: requests.Response, sent: dict[str, Any]) -> T:
        """Return what an answer says; raise the error that it means."""
        answer = decode(response.content)
        if endpoint.bare is not None and not isinstance(answer, dict):
            answer = {endpoint.bare: response.content.decode("utf-8", "replace").strip()}
        errcode = errcode_of(answer)
        if errcode:
            errmsg = answer.get("errmsg")
            error = error_of(
                errcode,
                self._redacted(errmsg if isinstance(errmsg, str) else "", sent),
                who=self._named(endpoint.path),
                token_endpoint=endpoint.issues_tokens,
            )
            wait = meaning_of(errcode, token_endpoint=endpoint.issues_tokens).wait
            raise error if wait is None else _Passing(error, wait=wait)
        if not isinstance(answer, dict) or response.status_code >= 300:
            raise self._not_an_answer(endpoint.path, response.status_code, response.content)
        try:
            return endpoint.parse(answer)
        except MalformedReply as malformed:
            words = f"{self._named(endpoint.path)} answered {malformed}; the next run goes on"
            raise _Passing(WeChatUnavailable(words)) from None

    def _send(
        self, method: str, path: str, params: dict[str, str] | None, body: dict[str, Any] | None
    ) -> requests.Response:
        try:
            request = self._prepared(method, path)
            if params:
                request.url = f"{request.url}?{urlencode(params)}"
            if body is not None:
                # Encoded here, so that there is a Content-Length: WeChat refuses chunked bodies
                # with 412, and some endpoints refuse Chinese written as \uXXXX.
                request.body = json.dumps(body, ensure_ascii=False).encode()
                request.headers["Content-Length"] = str(len(request.body))
                request.headers["Content-Type"] = "application/json; charset=utf-8"
            response = self._adapter.send(
                request, timeout=self._timeout, proxies=self._proxies, verify=self._verify
            )
            _ = response.content  # read here, where what may go wrong is caught
            return response
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
            raise SettingsError(
                f"the address of {self._name}, or the proxy (HTTPS_PROXY …), cannot be used; "
                "expected http://host:port"
            ) from None
        except requests.RequestException as error:
            # The error's own text holds the URL, and so the token.
            raise _Passing(
                WeChatUnavailable(
                    f"{self._named(path)} cannot be reached at {self._host}: "
                    f"{_network_words(error)}\n"
                    "check the network, the proxy and the address; the next run goes on"
                )
            ) from None
        except OSError as error:  # requests looks for the file before it connects
            raise SettingsError(
                f"the certificates of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE cannot be read: {error}"
            ) from None

    def _prepared(self, method: str, path: str) -> requests.PreparedRequest:
        """Return a request to fill in; preparing one costs as much as sending it."""
        template = self._requests.get((method, path))
        if template is None:
            template = requests.Request(method, self._base_url + path, headers=HEADERS).prepare()
            self._requests[method, path] = template
        return template.copy()

    def _not_an_answer(self, path: str, status: int, content: bytes) -> Exception:
        words = (
            f"{self._named(path)} answered HTTP {status} and no JSON of WeChat's, at {self._host}"
        )
        if status == 200 and content.lstrip().startswith(b"{"):  # no page of a gateway's
            return _Passing(AnswerUnreadable(f"{words}; the next run goes on"))
        if status in RETRIED_STATUSES or status < 300:
            return _Passing(WeChatUnavailable(f"{words}; the next run goes on"))
        return UnexpectedReply(f"{words}\ncheck the address and the proxy")

    def _redacted(self, text: str, sent: dict[str, Any]) -> str:
        """Take out what was sent as a credential, in whatever form the answer echoes it."""
        address = urlsplit(self._base_url)
        secrets = [str(sent.get(name) or "") for name in ("access_token", "secret")]
        secrets += [value for _, value in parse_qsl(address.query)] + [address.password or ""]
        for secret in filter(None, secrets):
            for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}:
                text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
        return text

    def _named(self, path: str) -> str:
        return f"{self._name} {path}".rstrip()

    @property
    def _host(self) -> str:
        return urlsplit(self._base_url).netloc.rpartition("@")[2]


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _enough(garbled_attempts: int) -> Callable[[RetryCallState], bool]:
    """Return what ends the retries of one call: ATTEMPTS in all, fewer of garbled answers."""
    garbled = 0

    def enough(state: RetryCallState) -> bool:
        nonlocal garbled
        error = _error(state)
        garbled += isinstance(error, _Passing) and isinstance(error.error, AnswerUnreadable)
        return state.attempt_number >= ATTEMPTS or garbled >= garbled_attempts

    return enough


def _network_words(error: requests.RequestException) -> str:
    words: tuple[tuple[type[Exception], str], ...] = (
        (requests.exceptions.SSLError, "its TLS certificate was not accepted"),
        (requests.exceptions.ProxyError, "the proxy refused"),
        (requests.exceptions.ConnectTimeout, "no connection within the time allowed"),
        (requests.exceptions.ReadTimeout, "no answer within the time allowed"),
        (requests.exceptions.ConnectionError, "the connection failed or broke off"),
        (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
        (requests.exceptions.ContentDecodingError, "the answer's compression is broken"),
    )
    return next((text for kind, text in words if isinstance(error, kind)), type(error).__name__)
