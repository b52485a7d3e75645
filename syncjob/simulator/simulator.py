"""The entry point for tests and the command line: serves an account from a thread.

The answers are made in api.py.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from syncjob.simulator.account import Account
from syncjob.simulator.answers import Answer
from syncjob.simulator.api import Api, Request
from syncjob.simulator.faults import FaultScript
from syncjob.simulator.server import serve
from syncjob.simulator.switches import Switches


class Simulator:
    """A simulated WeChat for one account, on loopback.

    `latency` in seconds is added to every answer. `record` keeps each call in `requests`; calls
    are counted either way. `clock` returns unix seconds for tokens, quotas and the account
    (default: the account's clock). `switches` are fields of `Switches`. The account, the switches,
    the faults and `latency` may be changed from any thread while serving.
    """

    def __init__(
        self,
        account: Account,
        *,
        latency: float = 0.0,
        record: bool = True,
        clock: Callable[[], float] | None = None,
        **switches: Any,
    ) -> None:
        self.account = account
        self.switches = Switches(**switches)
        self.latency = latency
        if clock is not None:
            account.clock = clock
        self._clock = account.clock
        self._api = Api(account, self.switches, self._clock)
        self._api.record = record
        self._failure: Exception | None = None

    @property
    def appid(self) -> str:
        """The account's AppID, derived from its seed."""
        return self._api.credentials.appid

    @property
    def secret(self) -> str:
        """The account's AppSecret, derived from its seed."""
        return self._api.credentials.secret

    @property
    def requests(self) -> list[Request]:
        """The received calls, in order; empty if they are not recorded."""
        return self._api.requests

    @property
    def faults(self) -> FaultScript:
        """The active faults."""
        return self._api.faults

    @property
    def on_request(self) -> Callable[[Request], object] | None:
        """A function that the server's thread calls with each request before it answers."""
        return self._api.on_request

    @on_request.setter
    def on_request(self, function: Callable[[Request], object] | None) -> None:
        self._api.on_request = function

    def count(self, endpoint: str) -> int:
        """Return how many calls of the endpoint were received, failed ones included."""
        return self._api.counts[endpoint]

    @property
    def counts(self) -> dict[str, int]:
        """The number of received calls, by endpoint."""
        return dict(self._api.counts)

    def kill_tokens(self) -> None:
        """Make every token invalid, as if another program had refreshed it."""
        self._api.credentials.kill(self._clock())

    def spend_quota(self, endpoint: str, calls: int) -> None:
        """Count `calls` against today's quota, as if another program had made them."""
        self._api.quotas.spend_elsewhere(endpoint, calls, self._clock())

    @contextmanager
    def serving(self, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        """Serve on 127.0.0.1 from a daemon thread and yield the base URL.

        Port 0 selects a free port. With `tls`, a context with a certificate, it speaks HTTPS. At
        the end every connection is closed, and an exception of the simulator or of `on_request` is
        raised. Raises OSError if the port is in use.
        """
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        scheme = "http" if tls is None else "https"
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()

        def run() -> None:
            try:
                loop.run_until_complete(serve(listener, self._respond, stop, tls))
            finally:
                loop.close()

        thread = threading.Thread(target=run, name="simulator", daemon=True)
        thread.start()
        try:
            yield url
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _respond(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            answer = self._api.answer(method, target, headers, body)
        except Exception as error:  # noqa: BLE001 - raised again by `serving`, in the caller's thread
            self._failure = self._failure or error
            return Answer(action="drop")
        return replace(answer, delay=answer.delay + self.latency)
