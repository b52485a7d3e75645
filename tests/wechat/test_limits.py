"""Every call ends at its time limit: on each path to WeChat, wherever the other side hangs."""

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from syncjob.wechat.http import HttpClient, RequestFailed
from tests.hangs import Listener
from tests.loopback import receive_request
from tests.wechat.test_network import context_of

LIMIT = 0.4  # seconds: for an answer to begin, and as long again to connect
SLACK = 5.0  # for a busy machine; without a limit all of these hang for ever
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "
ANSWER = HEAD + b"2\r\n\r\n{}"
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
HANGS = {  # what is said in place of an answer, and byte by byte from then on
    "says nothing": (b"", b""),
    "drips a head": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "drips headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "stops in the body": (HEAD + b"9\r\n\r\n{", b""),
    "drips a body": (HEAD + b"1000000\r\n\r\n", b" "),
    "drips chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}
WAYS = ("plain", "TLS", "a proxy", "a tunnel", "a tunnel behind TLS", "a proxy behind TLS")


class WeChat(Listener):
    """Answers some calls of each connection, then hangs in the given way."""

    def __init__(self, answers: int, hang: tuple[bytes, bytes], tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._answers, self._hang, self._tls = answers, hang, tls

    def serve(self, client: socket.socket) -> None:
        """Answer, then hang."""
        if self._tls is not None:
            client = self._tls.wrap_socket(client, server_side=True)
        with client:
            for _ in range(self._answers):
                if receive_request(client):
                    client.sendall(ANSWER)
            if receive_request(client):
                client.sendall(self._hang[0])
            while not self.over.wait(0.02):
                client.sendall(self._hang[1])


class Proxy(Listener):
    """A tunnelling or forwarding proxy for one port, with or without TLS.

    With `hang` it answers CONNECT in that way; with `deaf` it never answers the TLS handshake.
    """

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        hang: tuple[bytes, bytes] | None = None,
        deaf: bool = False,
    ) -> None:
        super().__init__()
        self._to, self._tls, self._hang, self._deaf = port, tls, hang, deaf
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        """Forward bytes, both ways."""
        if self._deaf:
            self.over.wait()
        if self._tls is not None:
            client = self._tls.wrap_socket(client, server_side=True)
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            said = client.recv(65_536)
            if not said.startswith(b"CONNECT"):
                server.sendall(said)
            elif self._hang is None:
                client.sendall(TUNNEL)
            else:
                client.sendall(self._hang[0])
                while not self.over.wait(0.02):
                    client.sendall(self._hang[1])
            while not self.over.is_set():
                waiting = [client] if getattr(client, "pending", int)() else []
                for one in waiting or select.select([client, server], [], [], 0.1)[0]:
                    said = one.recv(65_536)
                    if not said:
                        return
                    (server if one is client else client).sendall(said)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A private CA."""
    return trustme.CA()


Open = Callable[..., HttpClient]


@pytest.fixture
def open_way(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Open a client of a WeChat that hangs, over one of the WAYS."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with ExitStack() as stack:

        def start(
            way: str, answers: int, how: tuple[bytes, bytes], /, **of_proxy: object
        ) -> HttpClient:
            tls = context_of(authority.issue_cert("127.0.0.1", "wechat.invalid"))
            is_encrypted = way in ("TLS", "a tunnel", "a tunnel behind TLS")
            wechat = stack.enter_context(WeChat(answers, how, tls if is_encrypted else None))
            scheme, host = "https" if is_encrypted else "http", f"127.0.0.1:{wechat.port}"
            if way not in ("plain", "TLS"):
                behind_tls = tls if "behind" in way else None
                proxy = stack.enter_context(
                    Proxy(wechat.port, behind_tls, **of_proxy)  # type: ignore[arg-type]
                )
                monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
                host = "wechat.invalid"
            made = HttpClient(f"{scheme}://{host}", timeout=LIMIT, connect_timeout=LIMIT)
            stack.callback(made.close)
            return made

        yield start


def _overdue(one: HttpClient, answers: int = 0) -> str:
    """Call until there is no answer; return the error's text."""
    for _ in range(3 * answers + 1):  # each connection that is made has so many
        began = time.monotonic()
        try:
            one.send("POST", "/cgi-bin/user/info/batchget", None, {"a": "b"})
        except RequestFailed as broken:
            assert time.monotonic() - began < 2 * LIMIT + SLACK
            return str(broken)
    raise AssertionError("every call was answered")


@pytest.mark.parametrize("hang", HANGS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answers", [0, 1], ids=["the first call", "a further call"])
def test_every_call_ends_at_its_limit(open_way: Open, way: str, hang: str, answers: int) -> None:
    """On every path, on a new or reused connection; so does the next call."""
    one = open_way(way, answers, HANGS[hang])
    for _ in range(2):
        for _ in range(answers):
            assert one.send("GET", "/cgi-bin/user/get", None, None).content == b"{}"
        said = _overdue(one, answers)
        assert "within the time allowed" in said or "took longer than" in said


@pytest.mark.parametrize("hang", ["says nothing", "drips headers"])
@pytest.mark.parametrize("way", ["a tunnel", "a tunnel behind TLS"])
def test_a_proxy_that_never_opens_the_tunnel_ends_at_the_limit(
    open_way: Open, way: str, hang: str
) -> None:
    """Whether it sends nothing, or headers without end."""
    one = open_way(way, 0, HANGS["says nothing"], hang=HANGS[hang])
    _overdue(one)


@pytest.mark.parametrize("way", ["a tunnel behind TLS", "a proxy behind TLS"])
def test_a_proxy_that_never_answers_the_handshake_ends_at_the_limit(
    open_way: Open, way: str
) -> None:
    """A TLS handshake counts against the limit of the call."""
    _overdue(open_way(way, 0, HANGS["says nothing"], deaf=True))


def test_a_name_server_that_does_not_answer_ends_at_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The C library retries it for longer than a call may take."""
    import threading

    over = threading.Event()
    really = socket.getaddrinfo

    def ask(host: str, *arguments: object, **options: object) -> object:
        if host == "wechat.invalid":
            over.wait()
        return really(host, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    one = HttpClient("http://wechat.invalid", timeout=LIMIT, connect_timeout=LIMIT)
    try:
        assert "within the time allowed" in _overdue(one)
    finally:
        over.set()
        one.close()
