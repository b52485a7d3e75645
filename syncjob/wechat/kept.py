"""A call over a connection that is open, at less than a third of what requests and urllib3 take.

They make the connection, and the first call over it. Here is only what every further call repeats:
the request goes out in one piece, and an answer as nearly all are, its length told, is read as it
comes. Any other (in chunks, compressed, of unknown length) is theirs again, from its first byte on.
"""

import http.client
import io
import time
from typing import Any

import requests
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import ProtocolError

PIECE = 64 * 1024  # bytes asked of a socket at once: an answer about a hundred people has fewer
LONGEST_HEAD = 16 * 1024
# A socket's timeout is changed only where it would be off by more: to change it is a system call.
INEXACT = 0.5  # seconds


class Limit:
    """How long one call may take: `silence` until an answer begins, `whole` in all (seconds)."""

    def __init__(self, *, silence: float, whole: float) -> None:
        self.silence = silence
        self._end = time.monotonic() + whole
        self._due = self._end
        self.is_over = False
        self.is_answered = False

    def sent(self) -> None:
        """Note that the request is sent."""
        self._due = min(self._end, time.monotonic() + self.silence)

    def begin_answer(self) -> None:
        """Note that the head of the answer is read."""
        self.is_answered = True
        self._due = self._end

    def receive(self, sock: Any, most: int) -> bytes:
        """Return what comes next, `most` bytes at most; raise TimeoutError once it is time."""
        while True:
            left = self._due - time.monotonic()
            if left <= 0:
                self.is_over = True
                raise TimeoutError
            if left < sock.gettimeout() - INEXACT:
                sock.settimeout(left)
            try:
                received: bytes = sock.recv(most)
                return received
            except TimeoutError:
                pass  # of the socket: it may be that of an earlier moment


class PlainAnswer:
    """An answer whose head has been read, and whose body is so many bytes of the connection's.

    As much of urllib3's response as is needed; the names of its headers are in lower case.
    """

    def __init__(
        self,
        connection: Any,
        pool: Any,
        limit: Limit,
        status: int,
        headers: dict[str, str],
        begun: bytes,
    ) -> None:
        self.status = status
        self.headers = headers
        self._limit = limit
        self._connection = connection
        self._pool = pool
        self._length = int(headers["content-length"])
        self._begun = begun

    def read(self, amount: int, *, decode_content: bool) -> bytes:
        """Return the body, `amount` bytes at most, which is not encoded; or raise ProtocolError."""
        length = min(amount, self._length)
        pieces = [self._begun]
        left = length - len(self._begun)
        try:
            while left > 0:
                piece = self._limit.receive(self._connection.sock, min(left, PIECE))
                if not piece:
                    raise ProtocolError("the connection was closed")
                pieces.append(piece)
                left -= len(piece)
        except BaseException as error:  # a signal too leaves an answer that is half read
            self.close()
            if isinstance(error, OSError):
                raise ProtocolError(str(error)) from None
            raise
        if left < 0:  # what stands behind the answer was asked for by nobody
            self._connection.close()
        return b"".join(pieces)[:length]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self.release_conn()

    def release_conn(self) -> None:
        """Give the connection back to the pool."""
        self._pool._put_conn(self._connection)


def ask(connection: Any, pool: Any, method: str, request: bytes, limit: Limit) -> Any:
    """Send a request over an open connection of the pool; return the answer, its head read.

    Raises requests' ConnectionError, as it does where no answer comes, the connection closed.
    """
    sock = connection.sock
    try:
        if sock.gettimeout() != limit.silence:
            sock.settimeout(limit.silence)
        sock.sendall(request)
        limit.sent()
        begun = limit.receive(sock, PIECE)
        while (end := begun.find(b"\r\n\r\n")) < 0 and len(begun) < LONGEST_HEAD:
            piece = limit.receive(sock, PIECE)
            if not piece:
                break
            begun += piece
        plain = _plain(begun[:end]) if end >= 0 else None
        if plain is not None:
            return PlainAnswer(connection, pool, limit, *plain, begun[end + 4 :])
        return _any(connection, pool, method, begun, limit)
    except BaseException as error:
        connection.close()
        pool._put_conn(connection)
        if isinstance(error, OSError | http.client.HTTPException):
            raise requests.ConnectionError(str(error)) from None
        raise


def _plain(head: bytes) -> tuple[int, dict[str, str]] | None:
    """Return status and headers of an answer that can be read as it comes; None for any other."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, said = first.partition(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    status, _, _ = said.partition(" ")
    length = headers.get("content-length", "")
    is_plain = (
        version == "HTTP/1.1"
        and len(status) == 3
        and status.isdecimal()
        and 200 <= int(status) < 600
        and status not in ("204", "304")  # these have no body, whatever they say
        and length.isdecimal()
        and len(length) < 20
        and len(headers) == len(lines)  # none is said twice
        and not headers.keys() & {"transfer-encoding", "content-encoding"}
        and headers.get("connection", "keep-alive").lower() == "keep-alive"
        and not any(name[:1] in (" ", "\t", "") for name in headers)
        and head.count(b"\n") == len(lines)  # no line ends in another way
    )
    return (int(status), headers) if is_plain else None


def _any(connection: Any, pool: Any, method: str, begun: bytes, limit: Limit) -> HTTPResponse:
    """Return an answer that begins with these bytes as http.client and urllib3 read it."""
    sock: Any = _Begun(connection.sock, begun, limit)
    answer = http.client.HTTPResponse(sock, method=method)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    if answer.will_close:
        connection.close()  # as soon as it is read
    return HTTPResponse(
        answer,
        HTTPHeaderDict(answer.headers.items()),
        answer.status,
        preload_content=False,
        original_response=answer,
        pool=pool,
        connection=connection,
        request_method=method,
    )


class _Begun(io.RawIOBase):
    """A socket to read from in time, behind bytes that were read from it before."""

    def __init__(self, sock: Any, begun: bytes, limit: Limit) -> None:
        self._begun = begun
        self._sock = sock
        self._held = sock.makefile("rb", buffering=0)  # until when the socket is not really closed
        self._limit = limit

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return the file that http.client makes of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> Any:
        """Read what was read before, and then on."""
        read = self._begun[: len(buffer)] or self._limit.receive(self._sock, len(buffer))
        self._begun = self._begun[len(read) :]
        buffer[: len(read)] = read
        return len(read)

    def close(self) -> None:
        """Close the file, not the socket of a connection that is kept."""
        self._held.close()
        super().close()
