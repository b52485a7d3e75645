"""A hostile server: answers that never end, fill memory, or ask for long waits."""

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate

import pytest

from syncjob.errors import SyncjobError, UnexpectedReply, WeChatUnavailable
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.http import CONNECT_TIMEOUT, MAX_ANSWER_BYTES, HttpClient, RequestFailed
from syncjob.wechat.pace import Pace
from syncjob.wechat.transport import MAX_CALL_SECONDS, MAX_RETRY_AFTER, Transport
from tests.loopback import answering, receive_request
from tests.wechat.test_errcodes import TOKEN

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDPOINT = Endpoint(method="GET", path="/cgi-bin/user/get", parse=dict)


@contextmanager
def serving(*pieces: bytes, pause: float = 0, endless: bool = False) -> Iterator[str]:
    """Answer each client with these pieces, with pauses; `endless`: repeat the last one."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with client:
            try:
                receive_request(client)
                for piece in pieces:
                    client.sendall(piece)
                    over.wait(pause)
                while endless and not over.is_set():
                    client.sendall(pieces[-1])
                    over.wait(pause)
            except OSError:
                pass  # cut off, as is right

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


@contextmanager
def opened(
    url: str, timeout: float = 0.2, connect_timeout: float = CONNECT_TIMEOUT
) -> Iterator[HttpClient]:
    """Yield a client of that server."""
    one = HttpClient(url, timeout=timeout, connect_timeout=connect_timeout)
    try:
        yield one
    finally:
        one.close()


SLOW = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "a body of known length": (HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "a body of unknown length": (HEAD + b"Connection: close\r\n\r\n", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("what", SLOW)
def test_a_dripping_answer_ends_at_the_limit(what: str) -> None:
    """The limit is for the whole answer, not for the time between two bytes."""
    words = "no answer within the time" if "header" in what else r"took longer than 0\.4 s"
    with (
        serving(*SLOW[what], pause=0.02, endless=True) as url,
        opened(url, connect_timeout=0.2) as one,
    ):
        began = time.monotonic()
        with pytest.raises(RequestFailed, match=words):
            one.send("GET", "/", None, None)
        assert time.monotonic() - began < 5


def test_a_silent_server_ends_sooner_than_one_that_has_begun() -> None:
    """SYNCJOB_TIMEOUT limits the wait for an answer to begin; the whole may take 5 s more."""
    with serving(b"", pause=60) as url, opened(url, connect_timeout=60) as one:
        began = time.monotonic()
        with pytest.raises(RequestFailed, match="no answer within the time"):
            one.send("GET", "/", None, None)
        assert time.monotonic() - began < 5


def test_a_call_after_an_aborted_one_is_answered() -> None:
    """Only the connection of the aborted call is lost."""
    # It says that it closes: a connection that is closed unsaid may be taken for one that is kept.
    good = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
    with (
        serving(*SLOW["chunks"], pause=0.02, endless=True) as slow,
        opened(slow, connect_timeout=0.2) as one,
    ):
        with pytest.raises(RequestFailed):
            one.send("GET", "/", None, None)
        with pytest.raises(RequestFailed, match="took longer"):
            one.send("GET", "/", None, None)
    with serving(good) as url, opened(url) as one:
        assert one.send("GET", "/", None, None).content == b"{}"
        assert one.send("GET", "/", None, None).content == b"{}"


ENDLESS = {
    "a body without end": (HEAD + b"Connection: close\r\n\r\n", b" " * 65_536),
    "a body of a terabyte": (HEAD + b"Content-Length: 1000000000000\r\n\r\n", b" " * 65_536),
    "chunks without end": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b" " * 65_536 + b"\r\n",
    ),
    "a gigabyte, compressed": (
        HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n",
        gzip.compress(b" " * 2**30),
    ),
}


@pytest.mark.parametrize("pieces", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_answer_that_would_fill_memory_is_refused(pieces: tuple[bytes, ...]) -> None:
    """Reading and decompression stop at the size limit."""
    with serving(*pieces, endless=len(pieces[-1]) < 10**6) as url, opened(url, timeout=30) as one:
        tracemalloc.start()
        try:
            with pytest.raises(RequestFailed, match="longer than 4 MiB"):
                one.send("GET", "/", None, None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 5 * MAX_ANSWER_BYTES


@pytest.mark.parametrize("deep", [b"[" * 10_000, b'{"a":' * 10_000, b"[" * 10_000 + b"]" * 10_000])
def test_json_nested_ten_thousand_deep_is_rejected(deep: bytes) -> None:
    """Like any other text that is not WeChat's."""
    with answering([deep]) as server:
        transport = Transport(server.url, timeout=5, sleep=lambda _: None)
        with pytest.raises(WeChatUnavailable):
            transport.call(ENDPOINT, params={"access_token": TOKEN})
        transport.close()


# --- waiting as long as the server says ------------------------------------------------------


def asked(
    retry_after: str, status: int, body: bytes = b"<html>"
) -> tuple[SyncjobError, list[float]]:
    """Return how a call ends, and how long it waited."""
    naps: list[float] = []
    with answering([body], status=status, headers={"Retry-After": retry_after}) as server:
        transport = Transport(server.url, timeout=5, sleep=naps.append)
        with pytest.raises(SyncjobError) as caught:
            transport.call(ENDPOINT)
        transport.close()
    return caught.value, naps


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", [lambda: "40", lambda: formatdate(time.time() + 41, usegmt=True)])
def test_no_retry_before_retry_after(form: Callable[[], str], status: int) -> None:
    """Given in seconds or as a date, it is the minimum wait."""
    error, naps = asked(form(), status)
    assert isinstance(error, WeChatUnavailable)
    assert naps
    assert all(nap >= 39 for nap in naps)
    assert sum(naps) <= MAX_CALL_SECONDS + MAX_RETRY_AFTER


def test_a_retry_after_that_is_too_long_ends_the_call_at_once() -> None:
    """A run does not sit out an hour: the next one goes on."""
    error, naps = asked("3600", 503)
    assert naps == []
    assert isinstance(error, WeChatUnavailable)
    assert "3600 s" in str(error)


@pytest.mark.parametrize("value", ["", "soon", "-5", "9" * 400, "Mon, 99 Foo 2020"])
def test_an_invalid_retry_after_does_no_harm(value: str) -> None:
    """It counts as absent, or as too long."""
    error, _ = asked(value, 503)
    assert isinstance(error, WeChatUnavailable)


def test_a_lasting_status_is_not_retried_despite_retry_after() -> None:
    """404 with a Retry-After is still a wrong address."""
    error, naps = asked("1", 404)
    assert isinstance(error, UnexpectedReply)
    assert naps == []


def test_a_busy_answer_of_wechats_is_given_the_time_it_asks_for() -> None:
    """Retry-After counts beside an errcode, too."""
    _, naps = asked("40", 200, json.dumps({"errcode": -1}).encode())
    assert all(nap >= 40 for nap in naps)


# --- going slower ------------------------------------------------------------------------------


def test_a_pause_is_for_all_calls_and_halves_their_number() -> None:
    """Eight, then four however many calls were told at once, then two; never zero."""
    now, naps = 0.0, list[float]()
    pace = Pace(8, sleep=naps.append, monotonic=lambda: now)

    def most_out() -> int:
        let_in, leave = threading.Semaphore(0), threading.Event()

        def call() -> None:
            with pace.kept(has_waited=True):
                let_in.release()
                leave.wait(20)

        threads = [threading.Thread(target=call) for _ in range(10)]
        for thread in threads:
            thread.start()
        count = 0
        while let_in.acquire(timeout=0.1):
            count += 1
        leave.set()
        for thread in threads:
            thread.join()
        return count

    assert most_out() == 8
    pace.slow_down(60)
    pace.slow_down(60)
    assert most_out() == 4
    with pace.kept():
        assert naps == [60]
    now = 61.0
    with pace.kept():
        assert naps == [60]
    pace.slow_down(60)
    assert most_out() == 2
    for moment in (200.0, 300.0, 400.0):
        now = moment
        pace.slow_down(60)
    assert most_out() == 1
