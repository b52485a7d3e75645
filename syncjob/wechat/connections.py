"""Connections to one address: requests' adapter and urllib3's connections, with less to do a call.

Each system call on the way lets another of the job's threads run and waits for its turn again, with
32 calls at a time the dearest part of it. So requests go out in one piece, and the timeouts are
those of deadlines.py, not the sockets'.
"""

import queue
import time
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import urldefragauth
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

from syncjob.wechat import kept
from syncjob.wechat.deadlines import Deadlines

# Seconds for which a connection that nobody has used is believed to be open.
BELIEVED = 1.0


class WatchedAdapter(HTTPAdapter):
    """requests' adapter for one address, its connections telling `deadlines` their sockets.

    Its `send` returns urllib3's response.
    """

    def __init__(self, deadlines: Deadlines, **options: Any) -> None:
        self._deadlines = deadlines
        self._pools: dict[str, Any] = {
            scheme: _watched(pool, deadlines)
            for scheme, pool in (("http", HTTPConnectionPool), ("https", HTTPSConnectionPool))
        }
        self._pool: Any = None
        self._verified: Any = None
        self._asks_for_path: bool | None = None
        super().__init__(**options)

    def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.close()
            self._pool = self._verified = None
        super().close()

    def ask_kept(self, method: str, request: bytes) -> Any:
        """Send a request over a connection that is open; return its answer, or None for no such.

        Not over one that passes requests on as a proxy does: it wants whole URLs, and headers of
        its own.
        """
        connection = self._take_kept() if self._asks_for_path else None
        if connection is None:
            return None
        self._deadlines.sent_over(connection.sock)
        connection.used_at = time.monotonic()
        return kept.ask(connection, self._pool, method, request)

    def _take_kept(self) -> Any:
        """Return an open connection of the pool, or None, with nothing taken from it."""
        connection = None
        with suppress(queue.Empty, AttributeError):  # of a pool that is closed
            connection = self._pool.pool.get(block=False)
        if connection is None or connection.sock is None:
            is_open = False
        else:
            is_open = time.monotonic() < connection.used_at + BELIEVED or connection.is_connected
        if is_open:
            return connection
        if connection is not None:
            connection.close()
        with suppress(queue.Full, AttributeError):
            self._pool.pool.put(connection, block=False)
        return None

    # What follows costs a third of a call, and comes out alike each time: there is one address.

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """Return the one pool of connections, as requests made it for the first call."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*arguments, **options)
        return self._pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Have the pool verify certificates, once."""
        if self._verified is not conn:
            set_up: Any = super().cert_verify
            set_up(conn, url, verify, cert)
            self._verified = conn

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return what to ask for: the whole URL of a proxy that passes it on, else its path."""
        if self._asks_for_path is None:
            target = super().request_url(request, proxies)
            self._asks_for_path = target.startswith("/")
        path: str = request.path_url
        return path if self._asks_for_path else urldefragauth(request.url)

    def build_response(self, req: Any, resp: Any) -> Any:
        """Return urllib3's response as it is: nobody looks for cookies, encodings or redirects."""
        return resp

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the manager as requests does, and have its pools watched."""
        super().init_poolmanager(*arguments, **options)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        """Return the manager of a proxy, its pools watched too."""
        manager: ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _watched(pool: Any, deadlines: Deadlines) -> Any:
    """Return the class of pools with connections that tell which socket they send over."""
    base = pool.ConnectionCls

    def request(self: Any, *arguments: Any, **options: Any) -> None:
        """Send head and body in one piece."""
        if self.sock is not None:
            self.timeout = None
            deadlines.sent_over(self.sock)
        self.pieces = []
        try:
            base.request(self, *arguments, **options)
        finally:
            pieces, self.pieces = self.pieces, None
        self.send(b"".join(pieces))
        self.used_at = time.monotonic()
        deadlines.sent_over(self.sock)

    def send(self: Any, data: Any) -> None:
        if self.pieces is None:
            base.send(self, data)
        else:
            self.pieces.append(data)

    members = {"request": request, "send": send, "pieces": None, "used_at": 0.0}
    connection = type(f"Watched{base.__name__}", (base,), members)
    return type(f"Watched{pool.__name__}", (pool,), {"ConnectionCls": connection})
