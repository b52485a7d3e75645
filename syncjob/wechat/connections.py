"""Connections to one address: those of requests and urllib3, used again by kept.py.

Each system call on the way lets another of the job's threads run and waits for its turn again, with
32 calls at a time the dearest part of it. So requests go out in one piece.
"""

import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

from syncjob.wechat import kept
from syncjob.wechat.kept import Limit

# Seconds for which a connection that nobody has used is believed to be open.
BELIEVED = 1.0


class Call:
    """A call by requests and urllib3, to be made in one thread and cut off by another."""

    connection: Any = None
    is_answered = False

    def cut_off(self) -> None:
        """Have whatever is sent or received end now, so that the call's thread ends as well."""
        sock = getattr(self.connection, "sock", None)
        while sock is not None and not isinstance(sock, socket.socket):
            sock = getattr(sock, "socket", None)  # of urllib3's TLS in TLS, the one below
        if sock is not None:
            with suppress(OSError):
                # Below TLS, whose own way to end would wait for the other side.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class OneAddressAdapter(HTTPAdapter):
    """requests' adapter for one address. Its `send` returns urllib3's response."""

    def __init__(self, **options: Any) -> None:
        self._calls = threading.local()
        self._pools: dict[str, Any] = {
            scheme: _one_piece(pool, self._calls)
            for scheme, pool in (("http", HTTPConnectionPool), ("https", HTTPSConnectionPool))
        }
        self._pool: Any = None
        self._asks_for_path = False
        super().__init__(**options)

    def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        super().close()

    def send_for(self, call: Call, request: Any, **options: Any) -> Any:
        """Send a request as `send` does, and note in `call` over which connection."""
        self._calls.call = call
        try:
            return self.send(request, **options)
        finally:
            self._calls.call = None

    def ask_kept(self, method: str, request: bytes, limit: Limit) -> Any:
        """Send a request over a connection that is open; return its answer, or None for no such.

        Not over one that passes requests on as a proxy does: it wants whole URLs, and headers of
        its own.
        """
        pool = self._pool if self._asks_for_path else None
        connection = None if pool is None else _take_open(pool)
        if connection is None:
            return None
        connection.used_at = time.monotonic()
        return kept.ask(connection, pool, method, request, limit)

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """Return the one pool of connections, as requests made it for the first call."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*arguments, **options)
        return self._pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Verify whoever speaks TLS; requests leaves out a proxy to an address without it."""
        url = "https:" if conn.scheme == "https" else url
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return what to ask for: the whole URL of a proxy that passes it on, else its path."""
        target = super().request_url(request, proxies)
        self._asks_for_path = target.startswith("/")
        return target

    def build_response(self, req: Any, resp: Any) -> Any:
        """Return urllib3's response as it is: nobody looks for cookies, encodings or redirects."""
        return resp

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the manager as requests does, with pools of ours."""
        super().init_poolmanager(*arguments, **options)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        """Return the manager of a proxy, with pools of ours too."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _take_open(pool: Any) -> Any:
    """Return an open connection of the pool, or None, and nothing taken from it."""
    try:
        connection = pool.pool.get(block=False)
    except (queue.Empty, AttributeError):  # all are in use, or the pool is closed
        return None
    if connection is not None and connection.sock is not None:
        if time.monotonic() < connection.used_at + BELIEVED or connection.is_connected:
            return connection
        connection.close()
    pool._put_conn(connection)
    return None


def _one_piece(pool: Any, calls: threading.local) -> Any:
    """Return the class of pools whose connections send a request in one piece.

    Each is noted in the call of `calls` that it is used for.
    """
    base = pool.ConnectionCls

    def note(connection: Any) -> None:
        call = getattr(calls, "call", None)
        if call is not None:
            call.connection = connection

    def connect(self: Any) -> None:
        note(self)
        base.connect(self)

    def request(self: Any, *arguments: Any, **options: Any) -> None:
        """Send head and body in one piece."""
        note(self)
        self.pieces = []
        try:
            base.request(self, *arguments, **options)
        finally:
            pieces, self.pieces = self.pieces, None
        self.send(b"".join(pieces))
        self.used_at = time.monotonic()

    def send(self: Any, data: Any) -> None:
        if self.pieces is None:
            base.send(self, data)
        else:
            self.pieces.append(data)

    members = {"connect": connect, "request": request, "send": send, "pieces": None, "used_at": 0.0}
    connection = type(f"OnePiece{base.__name__}", (base,), members)
    return type(f"OnePiece{pool.__name__}", (pool,), {"ConnectionCls": connection})
