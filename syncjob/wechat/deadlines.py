"""A deadline for each call as a whole.

The timeouts of requests and urllib3 are between two bytes: a server that sends one byte a second
holds a call up for ever. Here a thread shuts down the socket of a call that is overdue.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import urldefragauth
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager


class Deadlines:
    """Cuts off the calls of an adapter that take longer than `seconds`. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._changed = threading.Condition()
        # By thread, the oldest first: all have the same time, so that one is due first.
        self._calls: dict[int, _Call] = {}
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def of_this_call(self) -> Iterator["_Call"]:
        """Watch what this thread sends and receives in the block."""
        call = _Call(time.monotonic() + self._seconds)
        with self._changed:
            self._calls[threading.get_ident()] = call
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
                self._thread.start()
            elif len(self._calls) == 1:
                self._changed.notify()
        try:
            yield call
        finally:
            with self._changed:
                del self._calls[threading.get_ident()]

    def sent_over(self, sock: socket.socket | None) -> None:
        """Note the socket of this thread's call: from now on it can be cut off."""
        call = self._calls.get(threading.get_ident())
        if call is not None:
            call.sock = sock

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                waiting = [call for call in self._calls.values() if not call.is_overdue]
                for call in waiting:
                    if call.due <= now:
                        call.cut_off()
                due = min((call.due for call in waiting if not call.is_overdue), default=None)
                self._changed.wait(None if due is None else due - now)


class _Call:
    def __init__(self, due: float) -> None:
        self.due = due
        self.is_overdue = False
        self.sock: socket.socket | None = None

    def cut_off(self) -> None:
        self.is_overdue = True
        if self.sock is not None:
            with suppress(OSError):
                # Below TLS, whose own way to end would wait for the other side.
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class WatchedAdapter(HTTPAdapter):
    """requests' adapter for one address, its connections telling `deadlines` their sockets.

    Its `send` returns urllib3's response.
    """

    def __init__(self, deadlines: Deadlines, **options: Any) -> None:
        self._pools: dict[str, Any] = {
            scheme: _watched(pool, deadlines)
            for scheme, pool in (("http", HTTPConnectionPool), ("https", HTTPSConnectionPool))
        }
        self._pool: Any = None
        self._verified: Any = None
        self._asks_for_path: bool | None = None
        super().__init__(**options)

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
    """Return the class of pools with connections that tell which socket they have sent over."""
    base = pool.ConnectionCls

    def request(self: Any, *arguments: Any, **options: Any) -> None:
        base.request(self, *arguments, **options)
        deadlines.sent_over(self.sock)

    connection = type(f"Watched{base.__name__}", (base,), {"request": request})
    return type(f"Watched{pool.__name__}", (pool,), {"ConnectionCls": connection})
