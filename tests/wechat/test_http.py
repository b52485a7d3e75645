"""The HTTP client over a socket: requests and answers, on new connections and reused ones."""

import gzip
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from syncjob.wechat.http import CONNECT_TIMEOUT, MAX_ANSWER_BYTES, Answer, HttpClient, RequestFailed
from tests.hangs import wait_until
from tests.loopback import answering, receive_request
from tests.wechat.test_network import context_of

BODY = b'{"total":1,"nickname":"\xe5\xbc\xa0"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
PLAIN = b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY
ZIPPED = gzip.compress(BODY)
DATE = "Sun, 29 Nov 2026 12:00:00 GMT"

ANSWERS = {
    "as nearly all are": PLAIN,
    "with what else is read": b"HTTP/1.1 503 Busy\r\ndate: " + DATE.encode() + b"\r\n"
    b"RETRY-AFTER:7\r\n" + LENGTH + b"\r\n" + BODY,
    "without a reason": PLAIN.replace(b" OK", b""),
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
    + b"Content-Length: %d\r\n\r\n" % len(ZIPPED)
    + ZIPPED,
    "two lengths": PLAIN.replace(LENGTH, LENGTH * 2),
    "a header in two lines": PLAIN.replace(LENGTH, b"X-A: b\r\n c\r\n" + LENGTH),
    "behind an interim one": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "without a body": b"HTTP/1.1 204 No Content\r\n\r\n",
}
# Where the connection ends with them.
LAST_ANSWERS = {
    "of no known length": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    "and no more": PLAIN.replace(LENGTH, b"Connection: close\r\n" + LENGTH),
    "of the first version": PLAIN.replace(b"1.1", b"1.0"),
}


@dataclass
class Script:
    """The requests of each connection of a server, in order; how many connections it closed."""

    url: str
    asked: list[list[bytes]] = field(default_factory=list)
    closed: int = 0


@contextmanager
def scripted(
    *connections: Sequence[bytes], pause: float | None = None, hang: bool = False
) -> Iterator[Script]:
    """Answer the requests of each connection with these bytes in turn, then close it.

    With a `pause`, repeat the last byte of the last answer instead of closing. With `hang`, keep
    the connection open and send nothing.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    script = Script(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve() -> None:
        for answers in connections:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            script.asked.append([])
            threading.Thread(target=answer, args=(client, answers, script.asked[-1])).start()

    def answer(client: socket.socket, answers: Sequence[bytes], asked: list[bytes]) -> None:
        with client, suppress(OSError):
            for said in answers:
                request = receive_request(client)
                if not request:
                    break
                asked.append(request)
                client.sendall(said)
            while pause is not None and not over.wait(pause):
                client.sendall(answers[-1][-1:])
            if hang:
                over.wait()
        script.closed += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield script
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


@contextmanager
def opened(
    url: str, timeout: float = 5, connect_timeout: float = CONNECT_TIMEOUT
) -> Iterator[HttpClient]:
    """Yield a client of that server."""
    one = HttpClient(url, timeout=timeout, connect_timeout=connect_timeout)
    try:
        yield one
    finally:
        one.close()


def ask(one: HttpClient) -> Answer:
    """Make a typical call."""
    return one.send("POST", "/cgi-bin/user/info/batchget", {"access_token": "a/b"}, {"lang": "en"})


def test_requests_on_a_reused_connection_equal_the_first() -> None:
    """Byte for byte, apart from their bodies; with a password in the URL."""
    with scripted([PLAIN] * 4) as script:
        with opened(script.url.replace("//", "//name:word@")) as one:
            for number in (1, 22):
                one.send("POST", "/cgi-bin/user/info/batchget", {"t": "a/ü"}, {"number": number})
            for _ in range(2):
                one.send("GET", "/cgi-bin/user/get", None, None)
        ((first, second, third, fourth),) = script.asked

    def lines(request: bytes) -> list[bytes]:
        head, _, body = request.replace(b": 13", b": 12").partition(b"\r\n\r\n")
        return [*sorted(head.split(b"\r\n")), body.replace(b"22", b"1")]

    assert b"\r\nAuthorization: Basic " in first
    assert lines(first) == lines(second)
    assert lines(third) == lines(fourth)


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS.keys())
def test_every_answer_is_read_alike_on_new_and_reused_connections(said: bytes) -> None:
    """And the connection is reused for a third call."""
    with scripted([said, said, PLAIN]) as script:
        with opened(script.url) as one:
            assert ask(one) == ask(one)
            assert ask(one).content == BODY
        assert len(script.asked) == 1


@pytest.mark.parametrize("said", LAST_ANSWERS.values(), ids=LAST_ANSWERS.keys())
def test_a_connection_is_not_reused_after_an_answer_that_ends_it(said: bytes) -> None:
    """The next call opens another."""
    with scripted([PLAIN, said], [PLAIN]) as script:
        with opened(script.url) as one:
            assert [ask(one).content for _ in range(3)] == [BODY] * 3
        assert [len(asked) for asked in script.asked] == [2, 1]


def test_retry_after_and_date_are_read() -> None:
    """The server's clock, and the seconds until it wants a retry."""
    with scripted([PLAIN, ANSWERS["with what else is read"]]) as script, opened(script.url) as one:
        ask(one)
        assert ask(one) == Answer(503, BODY, retry_after=7, date=DATE)


def test_an_answer_may_arrive_byte_by_byte() -> None:
    """Headers and body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(2):
                    receive_request(client)
                    for byte in PLAIN:
                        client.sendall(bytes([byte]))

        server = threading.Thread(target=serve)
        server.start()
        with opened(f"http://127.0.0.1:{listener.getsockname()[1]}") as one:
            assert ask(one).content == ask(one).content == BODY
        server.join()


def test_a_connection_that_the_server_closed_is_not_reused() -> None:
    """The call opens another connection and succeeds."""
    with scripted([PLAIN], [PLAIN]) as script, opened(script.url) as one:
        ask(one)
        wait_until(lambda: script.closed, "the end of the first connection")
        assert ask(one).content == BODY


def test_close_closes_the_connections() -> None:
    """At once, not when Python's collector runs."""
    with scripted([PLAIN, PLAIN]) as script:
        with opened(script.url) as one:
            ask(one)
            assert script.closed == 0
        wait_until(lambda: script.closed, "the end of the connection")


BROKEN = {
    "nothing": b"",
    "half a head": PLAIN[:20],
    "half a body": PLAIN[:-3],
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a length that is none": PLAIN.replace(LENGTH, b"Content-Length: -1\r\n"),
    "a length as nobody can send": PLAIN.replace(LENGTH, b"Content-Length: " + b"9" * 30 + b"\r\n"),
}


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_fails_alike_on_new_and_reused_connections(said: bytes) -> None:
    """Cut off, or not HTTP at all. The next call uses another connection."""

    def outcome(one: HttpClient) -> Answer | str:
        try:
            return ask(one)
        except RequestFailed as broken:
            return str(broken)

    with scripted([said]) as script, opened(script.url) as one:
        expected = outcome(one)
    with scripted([PLAIN, said], [PLAIN]) as script:
        with opened(script.url) as one:
            ask(one)
            assert outcome(one) == expected
            assert ask(one).content == BODY
        assert [len(asked) for asked in script.asked] == [2, 1]


def test_bytes_after_an_answer_do_not_answer_the_next_call() -> None:
    """The next call uses another connection."""
    with scripted([PLAIN, PLAIN + b"HTTP/1.1 200 OK\r\n"], [PLAIN]) as script:
        with opened(script.url) as one:
            assert [ask(one).content for _ in range(3)] == [BODY] * 3
        assert [len(asked) for asked in script.asked] == [2, 1]


ENDLESS_HEADS = {
    "nothing": b"",
    "a head": b"HTTP/1.1 200 OK\r\nX-A: b",
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n ",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n ",
}


@pytest.mark.parametrize("what", ENDLESS_HEADS)
def test_a_dripping_answer_on_a_reused_connection_ends_at_the_limit(what: str) -> None:
    """The same limit as on a new connection."""
    words = "no answer within the time" if what in ("nothing", "a head") else "took longer than 0.4"
    with (
        scripted([PLAIN, ENDLESS_HEADS[what]], pause=0.02) as script,
        opened(script.url, timeout=0.2, connect_timeout=0.2) as one,
    ):
        ask(one)
        began = time.monotonic()
        with pytest.raises(RequestFailed, match=words):
            ask(one)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("length", [MAX_ANSWER_BYTES + 1, 10**12])
def test_an_answer_above_the_size_limit_is_rejected(length: int) -> None:
    """And its connection is closed."""
    long = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b" " * (MAX_ANSWER_BYTES + 1)
    with scripted([PLAIN, long], [PLAIN]) as script, opened(script.url) as one:
        ask(one)
        with pytest.raises(RequestFailed, match="longer than 4 MiB"):
            ask(one)
        assert ask(one).content == BODY


@pytest.mark.parametrize("begun", [0, 20, len(PLAIN) - 3], ids=["nothing", "a head", "a body"])
def test_a_signal_ends_a_call_at_once(begun: int) -> None:
    """Its connection is not reused: the rest of the answer would be read as the next one."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt_soon() -> None:
        wait_until(lambda: len(script.asked[0]) == 2, "the second request")
        time.sleep(0.1)  # for what has come of the answer to be read
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with (
            scripted([PLAIN, PLAIN[:begun]], [PLAIN], hang=True) as script,
            opened(script.url, timeout=60) as one,
        ):
            ask(one)
            threading.Thread(target=interrupt_soon).start()
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                ask(one)
            assert time.monotonic() - began < 30
            assert ask(one).content == BODY
            assert [len(asked) for asked in script.asked] == [2, 1]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_forwarding_proxy_gets_the_whole_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In each request."""
    with answering([BODY]) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        with opened("http://wechat.invalid") as one:
            for _ in range(2):
                one.send("GET", "/cgi-bin/user/get", {"a": "b"}, None)
    targets = [target for _, target, _ in proxy.requests]
    assert targets == ["http://wechat.invalid/cgi-bin/user/get?a=b"] * 2


def test_a_tls_connection_is_reused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With bodies of several TLS records."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    long = b'"' + b"x" * 100_000 + b'"'
    with answering([long], tls=context_of(authority.issue_cert("127.0.0.1"))) as server:
        with opened(server.url) as one:
            assert [ask(one).content for _ in range(3)] == [long] * 3
        assert len(server.requests) == 3
