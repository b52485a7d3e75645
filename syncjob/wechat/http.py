"""HTTP by requests: one request sent, its whole answer received, within limits of time and size.

The only file that imports requests or urllib3. No error that leaves it holds a URL: WeChat's tokens
and secrets travel in query strings.
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

# It logs URLs, and with them the token: at DEBUG each, and as a warning that of a broken header.
logging.getLogger("urllib3").setLevel(logging.ERROR)

CONNECT_TIMEOUT = 5.0
# Ten times what the longest answer has: ten thousand OpenIDs, or a hundred users with every field.
LONGEST_ANSWER = 4 * 2**20  # bytes, decompressed
HEADERS = {
    "User-Agent": f"syncjob/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}
NO_RETRIES = urllib3.Retry(False)

Trouble = Literal["tls", "proxy", "network"]


class Broken(SyncjobError):
    """There was no answer, or not all of it; the text says why, `where` what is to blame."""

    def __init__(self, words: str, where: Trouble = "network") -> None:
        super().__init__(words)
        self.where = where


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    `retry_after` is in seconds; `date` is the server's clock, as HTTP writes it. None if the server
    did not say.
    """

    status: int
    content: bytes
    retry_after: float | None = None
    date: str | None = None


class Exchange:
    """Pooled connections to one address, for up to `threads` at once. Thread-safe.

    `timeout`: the seconds that a whole answer may take, once there is a connection. Redirects are
    not followed, certificates are verified; proxies and a private CA come from the usual variables
    of the environment. `.netrc` is not read.

    The timeouts of requests are between two bytes, and leave out name servers. So another thread
    makes the call, and the caller waits for it until the call's deadline.
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
        # A session would look up the environment's proxies and certificates for every call, which
        # costs as much as the call.
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
        # What stands before an @ may be a password.
        return None if url is None else urlsplit(url).netloc.rpartition("@")[2] or "?"

    def close(self) -> None:
        """Close all connections."""
        self._threads.close()
        self._adapter.close()

    def send(
        self, method: str, path: str, params: dict[str, str] | None, body: dict[str, Any] | None
    ) -> Answer:
        """Send one request and return the whole answer.

        Raises Broken where another try may help, and SettingsError for an address, a proxy or a
        file of certificates that cannot be used.
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
            is_answered = call.is_answered  # before it is cut off, which may look like an answer
            call.cut_off()
            if is_answered:
                raise Broken(f"the answer took longer than {self._deadline:g} s") from None
            raise Broken("no answer within the time allowed") from None
        except KeyboardInterrupt:
            call.cut_off()
            raise
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
            raise SettingsError(
                "the address, or the proxy (HTTPS_PROXY …), cannot be used; "
                "expected http://host:port"
            ) from None
        except (requests.RequestException, HTTPError, ssl.SSLError) as error:
            # The error's own text holds the URL, and so the token.
            raise _broken(error, is_answered=call.is_answered) from None
        except OSError as error:  # requests looks for the file before it connects
            raise SettingsError(
                f"the certificates of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE cannot be read: {error}"
            ) from None


class _Adapter(HTTPAdapter):
    """requests' adapter for one address: it finds the pool, and prepares each endpoint, once.

    The pool's own `urlopen` takes half as long as `HTTPAdapter.send`, a third of `Session.send`.
    """

    def __init__(self, verify: bool | str, proxies: dict[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._verify = verify
        self._proxies = proxies
        self._lock = threading.Lock()
        self._pool: HTTPConnectionPool | None = None

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Let direct connections share one TLS context: to load a bundle of CAs takes 25 ms."""
        self._tls = create_urllib3_context()
        super().init_poolmanager(*arguments, ssl_context=self._tls, **options)

    def close(self) -> None:
        """Close all connections that carry no call; the others follow when their call ends."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
        super().close()

    def route(self, method: str, url: str) -> "_Route":
        """Return the way to an endpoint."""
        request = requests.Request(method, url, headers=HEADERS).prepare()
        with self._lock:
            if self._pool is None:
                self._pool = self._open(request, url)
        target = self.request_url(request, self._proxies)
        return _Route(self._pool, method, target, dict(request.headers))

    def _open(self, request: requests.PreparedRequest, url: str) -> HTTPConnectionPool:
        pool: Any = self.get_connection_with_tls_context(request, self._verify, self._proxies)
        # Whoever speaks TLS is verified; requests leaves out a proxy to an address without it.
        spoken = "https:" if pool.scheme == "https" else url
        self.cert_verify(pool, spoken, self._verify, None)  # type: ignore[no-untyped-call]
        if pool.scheme == "https" and requests.utils.select_proxy(url, self._proxies) is None:
            self._tls.load_verify_locations(pool.ca_certs, pool.ca_cert_dir)
            pool.ca_certs = pool.ca_cert_dir = None  # each connection would load them again
        return pool  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Route:
    """The way to an endpoint: `target` is its path, or its URL for a proxy that passes it on."""

    pool: HTTPConnectionPool
    method: str
    target: str
    headers: dict[str, str]

    def send(
        self, params: dict[str, str] | None, body: dict[str, Any] | None, timeout: urllib3.Timeout
    ) -> BaseHTTPResponse:
        """Send a request; return the answer once its head has been read."""
        target, headers, content = self.target, self.headers, None
        if params:
            target = f"{target}?{urlencode(params)}"
        if body is not None:
            # Some endpoints refuse Chinese written as \uXXXX, as requests would write it.
            content = msgspec.json.encode(body)
            headers = {
                **headers,
                # WeChat refuses a chunked body with 412.
                "Content-Length": str(len(content)),
                "Content-Type": "application/json; charset=utf-8",
            }
        return self.pool.urlopen(
            self.method,
            target,
            content,
            headers,
            retries=NO_RETRIES,  # nor redirects
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
            preload_content=False,
        )


class _Call:
    """A call that one thread makes, and another may cut off."""

    def __init__(self) -> None:
        self._response: BaseHTTPResponse | None = None
        self._is_cut_off = False

    @property
    def is_answered(self) -> bool:
        """Whether the head of the answer has been read."""
        return self._response is not None

    def read(self, response: BaseHTTPResponse) -> Answer:
        """Read the whole answer, and no more of it than one can have."""
        self._response = response
        if self._is_cut_off:
            response.close()
            raise Overdue
        content = response.read(LONGEST_ANSWER + 1, decode_content=True)
        if len(content) > LONGEST_ANSWER:
            response.close()
            raise Broken(f"the answer is longer than {LONGEST_ANSWER >> 20} MiB")
        response.release_conn()
        headers = response.headers
        return Answer(response.status, content, _retry_after(headers), headers.get("date"))

    def cut_off(self) -> None:
        """Have the rest of the answer read by nobody, so that the call's thread ends soon."""
        self._is_cut_off = True
        if self._response is not None:
            # None of them: the answer has just been read, or is read through TLS in TLS.
            with suppress(OSError, ValueError, RuntimeError):
                self._response.shutdown()


def instant_of(value: str) -> float | None:
    """Return a date of HTTP in seconds since 1970; None where it is none."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After: seconds, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value[:9])
    at = instant_of(value)
    return None if at is None else max(0.0, at - time.time())


def _broken(error: Exception, *, is_answered: bool) -> Broken:
    """Say what broke, and where; the error's own text holds the URL."""
    broke_off = "the answer broke off" if is_answered else "the connection failed or broke off"
    known: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, Trouble], ...] = (
        ((SSLError, ssl.SSLError), "its TLS certificate was not accepted", "tls"),
        (ProxyError, "the proxy refused", "proxy"),
        ((NewConnectionError, ProtocolError), broke_off, "network"),
        (ConnectTimeoutError, "no connection within the time allowed", "network"),
        (ReadTimeoutError, "no answer within the time allowed", "network"),
        (DecodeError, "the answer's compression is broken", "network"),
    )
    for kind, words, where in known:
        if isinstance(error, kind):
            return Broken(words, where)
    return Broken(type(error).__name__)
