"""Connections to one address: those of requests and urllib3, watched, and used again (kept.py).

Each system call on the way lets another of the job's threads run and waits for its turn again, with
32 calls at a time the dearest part of it. So requests go out in one piece, and the timeouts are
those of deadlines.py, not the sockets'.
"""

import queue
import time
from typing import Any

from requests.adapters import HTTPAdapter
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
        self._asks_for_path = False
        super().__init__(**options)

    def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        super().close()

    def ask_kept(self, method: str, request: bytes) -> Any:
        """Send a request over a connection that is open; return its answer, or None for no such.

        Not over one that passes requests on as a proxy does: it wants whole URLs, and headers of
        its own.
        """
        pool = self._pool if self._asks_for_path else None
        connection = None if pool is None else _take_open(pool)
        if connection is None:
            return None
        self._deadlines.sent_over(connection.sock)
        connection.used_at = time.monotonic()
        return kept.ask(connection, pool, method, request)

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        """Return the one pool of connections, as requests made it for the first call."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*arguments, **options)
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        """Return what to ask for: the whole URL of a proxy that passes it on, else its path."""
        target = super().request_url(request, proxies)
        self._asks_for_path = target.startswith("/")
        return target

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
