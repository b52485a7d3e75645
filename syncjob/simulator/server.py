"""A small HTTP/1.1 server on loopback.

It parses requests and sends answers, also late, cut off or not at all, as `Answer.action` demands.
"""

import asyncio
import email.utils
import http
import socket
import ssl
import time
from collections.abc import Callable
from typing import cast

from syncjob.simulator.answers import Answer

Respond = Callable[[str, str, dict[str, str], bytes], Answer]

_MAX_HEAD = 64 * 1024


class Connection(asyncio.Protocol):
    """One keep-alive connection; answers its requests one by one, in order."""

    def __init__(self, respond: Respond, connections: set["Connection"]) -> None:
        self._respond = respond
        self._connections = connections
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, so that it can be closed at the end."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection; a pending answer is not sent."""
        self._transport = None
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer the request if it is complete."""
        self._buffer += data
        self._answer_next()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _answer_next(self) -> None:
        if self._busy or self._transport is None:
            return
        try:
            parsed = parse_request(self._buffer)
        except ValueError:
            self._transport.write(_encode(Answer(status=400)))
            self._transport.close()
            return
        if parsed is None:
            return
        method, target, headers, body, used = parsed
        self._buffer = self._buffer[used:]
        self._busy = True
        answer = self._respond(method, target, headers, body)
        close = headers.get("connection", "").lower() == "close"
        if answer.delay > 0:
            asyncio.get_running_loop().call_later(answer.delay, self._send, answer, close)
        else:
            self._send(answer, close)

    def _send(self, answer: Answer, close: bool) -> None:
        if self._transport is None or answer.action == "hang":
            return
        if answer.action == "drop":
            self._transport.abort()
            return
        rendered = _encode(answer)
        if answer.action == "tear":
            self._transport.write(rendered[: len(rendered) - max(1, len(answer.body) // 2)])
            self._transport.close()
            return
        self._transport.write(rendered)
        if close:
            self._transport.close()
            return
        self._busy = False
        if self._buffer:
            self._answer_next()


def parse_request(data: bytes) -> tuple[str, str, dict[str, str], bytes, int] | None:
    """Return method, target, headers (names in lower case), body and the number of bytes used.

    None means that the request is incomplete. Raises ValueError if it is no HTTP request.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > _MAX_HEAD:
            raise ValueError("no end of the head")
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    start = end + 4
    if "chunked" in headers.get("transfer-encoding", "").lower():
        unchunked = _unchunk(data, start)
        if unchunked is None:
            return None
        body, used = unchunked
        return method, target, headers, body, used
    used = start + int(headers.get("content-length", 0))
    if len(data) < used:
        return None
    return method, target, headers, data[start:used], used


def _unchunk(data: bytes, start: int) -> tuple[bytes, int] | None:
    body = b""
    while (end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:end].split(b";")[0], 16)
        start = end + 2
        if len(data) < start + size + 2:
            return None
        body += data[start : start + size]
        start += size + 2
        if size == 0:
            return body, start
    return None


def _encode(answer: Answer) -> bytes:
    try:
        reason = http.HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Unknown"
    head = (
        f"HTTP/1.1 {answer.status} {reason}\r\nConnection: keep-alive\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Date: {email.utils.formatdate(time.time() + answer.clock_off, usegmt=True)}\r\n"
        f"Content-Length: {len(answer.body)}\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body


async def serve(
    listener: socket.socket,
    respond: Respond,
    stop: asyncio.Event,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve on the listening socket until `stop` is set, then close every connection.

    A delayed answer delays only its own connection.
    """
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(respond, connections), sock=listener, backlog=1024, ssl=tls
    )
    try:
        await stop.wait()
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await server.wait_closed()
        await asyncio.sleep(0)  # lets the transports close their sockets
