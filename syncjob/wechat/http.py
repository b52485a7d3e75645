"""HTTP by requests: one request sent, its whole answer received, within limits of time and size.

The only file that imports requests or urllib3. No error raised here contains a URL: WeChat's tokens
and secrets are in query strings.
"""

import email.utils
import logging
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import create_urllib3_context

from syncjob import __version__
from syncjob.errors import SettingsError, SyncjobError
from syncjob.limits import CallThreads, Overdue

# urllib3 logs URLs, and with them the token: each at DEBUG, that of a broken header as a warning.
logging.getLogger("urllib3").setLevel(logging.ERROR)

CONNECT_TIMEOUT = 5.0
# Ten times the longest answer: ten thousand OpenIDs, or a hundred users with every field.
MAX_ANSWER_BYTES = 4 * 2**20  # bytes, decompressed
HEADERS = {
    "User-Agent": f"syncjob/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}
NO_RETRIES = urllib3.Retry(False)

FailureCause = Literal["tls", "proxy", "network"]


class RequestFailed(SyncjobError):
    """No answer was received, or only part of one; `where` is the part of the path that failed."""

    def __init__(self, message: str, where: FailureCause = "network") -> None:
        super().__init__(message)
        self.where = where


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    `retry_after` is in seconds; `date` is the Date header as sent. None if the header is missing.
    """

    status: int
    content: bytes
    retry_after: float | None = None
    date: str | None = None


class HttpClient:
    """An HTTP client for one address, with a pool of `threads` connections. Thread-safe.

    A call may take `connect_timeout` plus `timeout` seconds in all. Redirects are not followed.
    Certificates are verified. Proxies and a private CA come from the environment (HTTPS_PROXY,
    REQUESTS_CA_BUNDLE …). `.netrc` is not read.

    The timeouts of requests apply between two bytes and not to name servers. So another thread
    makes the call, and the caller waits for it until the deadline.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        threads: int = 1,
        connect_timeout: float = CONNECT_TIMEOUT,
    ) -> None:
        self._base_url = base_url
        self._timeout = urllib3.Timeout(connect=connect_timeout, read=timeout)
        self._deadline = connect_timeout + timeout
        # Once: a session looks them up for every call, which costs as much as the call.
        with requests.Session() as session:
            found = session.merge_environment_settings(base_url, {}, None, None, None)
        self._proxies = dict(found["proxies"])
        self._adapter = _Adapter(found["verify"] or True, self._proxies, pool_maxsize=threads)
        self._routes: dict[tuple[str, str], _Route] = {}
        self._threads = CallThreads()

    @property
    def proxy(self) -> str | None:
        """The host and port of the proxy that the environment names for this address, if any."""
        url = requests.utils.select_proxy(self._base_url, self._proxies)
        # The part before an @ may contain a password.
        return None if url is None else urlsplit(url).netloc.rpartition("@")[2] or "?"

    def close(self) -> None:
        """Close all connections."""
        self._threads.close()
        self._adapter.close()

    def send(
        self, method: str, path: str, params: dict[str, str] | None, body: dict[str, Any] | None
    ) -> Answer:
        """Send one request and return the whole answer.

        Raises RequestFailed for a failure that a retry may fix, SettingsError for an address, a
        proxy or a CA bundle that cannot be used.
        """
        call = _Call()

        def make() -> Answer:
            route = self._routes.get((method, path))
            if route is None:
                route = self._adapter.route(method, self._base_url + path)
                self._routes[method, path] = route
            return call.read(route.send(params, body, self._timeout))

        try:
            return self._threads.run(self._deadline, make)
        except Overdue:
            is_answered = call.is_answered  # read first: the end of the call may change it
            call.abort()
            if is_answered:
                raise RequestFailed(f"the answer took longer than {self._deadline:g} s") from None
            raise RequestFailed("no answer within the time allowed") from None
        except KeyboardInterrupt:
            call.abort()
            raise
        except (
            requests.exceptions.InvalidSchema,
            requests.exceptions.InvalidURL,
            LocationParseError,
        ):
            raise SettingsError(
                "the address, or the proxy (HTTPS_PROXY …), cannot be used; "
                "expected http://host:port"
            ) from None
        except (requests.RequestException, HTTPError, ssl.SSLError) as error:
            # The text of the original error contains the URL, and so the token.
            raise failure_of(error, is_answered=call.is_answered) from None
        except OSError as error:  # requests checks that the file exists before it connects
            raise SettingsError(
                f"the certificates of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE cannot be read: {error}"
            ) from None


class _Adapter(HTTPAdapter):
    """requests' adapter for one address. It finds the pool and prepares each endpoint once.

    `urlopen` of the pool takes two thirds of the CPU of `HTTPAdapter.send`.
    """

    def __init__(self, verify: bool | str, proxies: dict[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._verify = verify
        self._proxies = proxies
        self._lock = threading.Lock()
        self._pool: HTTPConnectionPool | None = None

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Share one TLS context among direct connections: loading a CA bundle takes 25 ms."""
        self._tls = create_urllib3_context()
        super().init_poolmanager(*arguments, ssl_context=self._tls, **options)

    def close(self) -> None:
        """Close all idle connections. Each of the others is closed when its call ends."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
        super().close()

    def route(self, method: str, url: str) -> "_Route":
        """Return the prepared route to an endpoint."""
        request = requests.Request(method, url, headers=HEADERS).prepare()
        with self._lock:
            if self._pool is None:
                self._pool = self._open(request, url)
        target = self.request_url(request, self._proxies)
        return _Route(self._pool, method, target, dict(request.headers))

    def _open(self, request: requests.PreparedRequest, url: str) -> HTTPConnectionPool:
        pool: Any = self.get_connection_with_tls_context(request, self._verify, self._proxies)
        # Verify an https:// proxy too: requests does not where the address itself is http://.
        spoken = "https:" if pool.scheme == "https" else url
        self.cert_verify(pool, spoken, self._verify, None)  # type: ignore[no-untyped-call]
        if pool.scheme == "https" and requests.utils.select_proxy(url, self._proxies) is None:
            self._tls.load_verify_locations(pool.ca_certs, pool.ca_cert_dir)
            pool.ca_certs = pool.ca_cert_dir = None  # or each connection loads them again
        return pool  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Route:
    """A prepared endpoint. `target` is its path, or its whole URL for a forwarding proxy."""

    pool: HTTPConnectionPool
    method: str
    target: str
    headers: dict[str, str]

    def send(
        self, params: dict[str, str] | None, body: dict[str, Any] | None, timeout: urllib3.Timeout
    ) -> BaseHTTPResponse:
        """Send a request; return the response once its headers have been read."""
        target, headers, content = self.target, self.headers, None
        if params:
            target = f"{target}?{urlencode(params)}"
        if body is not None:
            # Some endpoints reject Chinese written as \uXXXX, which requests' `json=` would send.
            content = msgspec.json.encode(body)
            headers = {
                **headers,
                # WeChat rejects a chunked body with 412.
                "Content-Length": str(len(content)),
                "Content-Type": "application/json; charset=utf-8",
            }
        return self.pool.urlopen(
            self.method,
            target,
            content,
            headers,
            retries=NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
            preload_content=False,
        )


class _Call:
    """A call that one thread makes and another may abort."""

    def __init__(self) -> None:
        self._response: BaseHTTPResponse | None = None
        self._is_aborted = False

    @property
    def is_answered(self) -> bool:
        """Whether the headers of the answer have been read."""
        return self._response is not None

    def read(self, response: BaseHTTPResponse) -> Answer:
        """Return the whole answer; raise RequestFailed for one above MAX_ANSWER_BYTES."""
        self._response = response
        if self._is_aborted:
            response.close()
            raise Overdue
        content = response.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            raise RequestFailed(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
        response.release_conn()
        headers = response.headers
        return Answer(response.status, content, _retry_after(headers), headers.get("date"))

    def abort(self) -> None:
        """Abort the call: end the read that the other thread is in, so that its thread ends."""
        self._is_aborted = True
        if self._response is not None:
            # These mean: the answer has just been read, or TLS runs inside TLS.
            with suppress(OSError, ValueError, RuntimeError):
                self._response.shutdown()


def parse_http_date(value: str) -> float | None:
    """Return an HTTP date in seconds since 1970, None for anything else."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After, which is a number or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value[:9])
    at = parse_http_date(value)
    return None if at is None else max(0.0, at - time.time())


def failure_of(error: Exception, *, is_answered: bool) -> RequestFailed:
    """Translate an error of requests, urllib3 or ssl; its own text contains the URL."""
    broke_off = "the answer broke off" if is_answered else "the connection failed or broke off"
    known: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, FailureCause], ...] = (
        ((SSLError, ssl.SSLError), "its TLS certificate was not accepted", "tls"),
        (ProxyError, "the proxy refused", "proxy"),
        ((NewConnectionError, ProtocolError), broke_off, "network"),
        (ConnectTimeoutError, "no connection within the time allowed", "network"),
        (ReadTimeoutError, "no answer within the time allowed", "network"),
        (DecodeError, "the answer's compression is broken", "network"),
    )
    for kind, words, where in known:
        if isinstance(error, kind):
            return RequestFailed(words, where)
    return RequestFailed(type(error).__name__)
