"""One HTTP exchange: a request sent, its answer received, within limits of time and size.

The only file, with connections.py and kept.py below it, that imports requests or urllib3. No error
that leaves it holds a URL: WeChat's tokens and secrets travel in query strings.
"""

import email.utils
import logging
import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
import urllib3

from syncjob import __version__
from syncjob.errors import SettingsError, SyncjobError
from syncjob.limits import Overdue, within
from syncjob.wechat.connections import Call, OneAddressAdapter
from syncjob.wechat.kept import Limit

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
    of the environment.

    Each call keeps its own limit, which nothing can take from it: over a connection that is open by
    the timeout of its socket (kept.py); a first one, with name servers, proxies and handshakes, is
    made by a thread that nobody waits for any longer than that.
    """

    def __init__(self, base_url: str, *, timeout: float, threads: int = 1) -> None:
        self._base_url = base_url
        self._timeout = timeout
        self._seconds = CONNECT_TIMEOUT + timeout
        # The adapter below a session, since a session would look up the environment's proxies and
        # certificates for every call, which costs as much as the call.
        self._adapter = OneAddressAdapter(pool_maxsize=threads)
        self._forms: dict[tuple[str, str], _Form] = {}
        with requests.Session() as session:
            found = session.merge_environment_settings(base_url, {}, None, None, None)
        self._proxies, self._verify = found["proxies"], found["verify"] or True

    @property
    def proxy(self) -> str | None:
        """The host and port of the proxy that the environment names for this address, if any."""
        url = requests.utils.select_proxy(self._base_url, self._proxies)
        # What stands before an @ may be a password.
        return None if url is None else urlsplit(url).netloc.rpartition("@")[2] or "?"

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def send(
        self, method: str, path: str, params: dict[str, str] | None, body: dict[str, Any] | None
    ) -> Answer:
        """Send one request and return the whole answer.

        Raises Broken where another try may help, and SettingsError for an address, a proxy or a
        file of certificates that cannot be used.
        """
        form = self._forms.get((method, path))
        if form is None:
            form = self._forms[method, path] = _Form(method, self._base_url + path)
        query = f"?{urlencode(params)}" if params else ""
        # Some endpoints refuse Chinese written as \uXXXX, as requests would write it.
        content = None if body is None else msgspec.json.encode(body)
        limit = Limit(silence=self._timeout, whole=self._seconds)
        try:
            response = self._adapter.ask_kept(method, form.on_wire(query, content), limit)
            if response is None:  # all are in use, or closed
                return self._send_first(form.prepared(query, content))
            limit.begin_answer()
            return _answer(response)
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
            raise SettingsError(
                "the address, or the proxy (HTTPS_PROXY …), cannot be used; "
                "expected http://host:port"
            ) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The error's own text holds the URL, and so the token.
            late = self._late(is_answered=limit.is_answered) if limit.is_over else None
            raise (late or _broken(error)) from None
        except OSError as error:  # requests looks for the file before it connects
            raise SettingsError(
                f"the certificates of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE cannot be read: {error}"
            ) from None

    def _send_first(self, request: requests.PreparedRequest) -> Answer:
        """Send a request over a connection that requests and urllib3 make, or have."""
        call = Call()

        def send() -> Answer:
            response = self._adapter.send_for(
                call,
                request,
                stream=True,
                timeout=(CONNECT_TIMEOUT, self._timeout),
                proxies=self._proxies,
                verify=self._verify,
            )
            call.is_answered = True
            return _answer(response)

        try:
            return within(self._seconds, send)
        except Overdue:
            late = self._late(is_answered=call.is_answered)  # what is cut off may look like one
            call.cut_off()
            raise late from None

    def _late(self, *, is_answered: bool) -> Broken:
        """Return what to say of a call that took too long."""
        if not is_answered:
            return Broken("no answer within the time allowed")
        return Broken(f"the answer took longer than {self._seconds:g} s")


class _Form:
    """What the requests of one endpoint have in common: to prepare each costs as much as a call."""

    def __init__(self, method: str, url: str) -> None:
        self._prepared = requests.Request(method, url, headers=HEADERS).prepare()
        self._target = f"{method} {self._prepared.path_url}"
        host = urlsplit(str(self._prepared.url)).netloc.rpartition("@")[2]
        self._headers = {"Host": host, **self._prepared.headers}

    def prepared(self, query: str, body: bytes | None) -> requests.PreparedRequest:
        """Return a request as requests sends it."""
        request = self._prepared.copy()
        request.url = f"{request.url}{query}"
        request.body = body
        request.headers.update(_headers_of(body))
        return request

    def on_wire(self, query: str, body: bytes | None) -> bytes:
        """Return what it puts on the wire."""
        headers = {**self._headers, **_headers_of(body)}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"{self._target}{query} HTTP/1.1", *lines, "", ""])
        return head.encode("latin-1") + (body or b"")


def _headers_of(body: bytes | None) -> dict[str, str]:
    if body is None:
        return {}
    return {
        # WeChat refuses a chunked body with 412.
        "Content-Length": str(len(body)),
        "Content-Type": "application/json; charset=utf-8",
    }


def _answer(response: Any) -> Answer:
    """Read the whole answer, and no more of it than one can have."""
    content: bytes = response.read(LONGEST_ANSWER + 1, decode_content=True)
    if len(content) > LONGEST_ANSWER:
        response.close()
        raise Broken(f"the answer is longer than {LONGEST_ANSWER >> 20} MiB")
    response.release_conn()
    headers = response.headers
    return Answer(response.status, content, _retry_after(headers), headers.get("date"))


def _retry_after(headers: Any) -> float | None:
    """Read Retry-After: seconds, or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value[:9])
    at = instant_of(value)
    return None if at is None else max(0.0, at - time.time())


def instant_of(value: str) -> float | None:
    """Return a date of HTTP in seconds since 1970; None where it is none."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _broken(error: Exception) -> Broken:
    """Say what broke, and where; the error's own text holds the URL."""
    known: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, Trouble], ...] = (
        (requests.exceptions.SSLError, "its TLS certificate was not accepted", "tls"),
        (requests.exceptions.ProxyError, "the proxy refused", "proxy"),
        (requests.exceptions.ConnectTimeout, "no connection within the time allowed", "network"),
        (
            (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError),
            "no answer within the time allowed",
            "network",
        ),
        (
            requests.exceptions.ConnectionError,
            "the connection failed or broke off",
            "network",
        ),
        (urllib3.exceptions.ProtocolError, "the answer broke off", "network"),
        (urllib3.exceptions.DecodeError, "the answer's compression is broken", "network"),
    )
    for kind, words, where in known:
        if isinstance(error, kind):
            return Broken(words, where)
    return Broken(type(error).__name__)
