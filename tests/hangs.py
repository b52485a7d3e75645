"""What a process waits for in vain: a database that falls silent, a server that says nothing.

Each says when it is reached, so that nobody has to guess.
"""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sqlalchemy import make_url

PATIENCE = 30.0  # seconds
# For PYTHONPATH: these functions do not return, and sit in C where no signal is handled.
STUCK = """
import ctypes, os, socket

def stuck(*arguments, **options):
    open(os.environ["STUCK_FILE"], "w").close()
    lock, library = ctypes.create_string_buffer(256), ctypes.CDLL(None)
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)

if os.environ["STUCK"] == "names":
    really = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *arguments, **options: (
        stuck() if str(host).endswith(".invalid") else really(host, *arguments, **options)
    )
else:
    socket.gethostname = stuck
"""


def wait_until(is_reached: Callable[[], object], what: str) -> None:
    """Look again and again; fail after PATIENCE."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if is_reached():
            return
        pause.wait(0.02)
    raise AssertionError(f"not reached: {what}")


class Listener:
    """A socket on loopback with a thread for each connection; `came` once it has been asked."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.refuse()
        self._thread.join()

    def refuse(self) -> None:
        """Close all connections; nobody listens any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve(self, client: socket.socket) -> None:
        """Talk to a client until that ends."""
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self.serve(client)


class Speaker(Listener):
    """Answers the first bytes of each connection with `words`, then with `drip`, byte by byte."""

    def __init__(self, words: bytes = b"", drip: bytes = b"", *, pause: float = 0.1) -> None:
        super().__init__()
        self._words, self._drip, self._pause = words, drip, pause
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket) -> None:
        """Say it, and no more."""
        if not client.recv(65_536):
            return
        client.sendall(self._words)
        self.came.set()
        while not self.over.wait(self._pause):
            if self._drip:
                client.sendall(self._drip)


class DatabaseProxy(Listener):
    """Stands before a PostgreSQL server, and falls silent when it has seen these bytes in turn.

    From then on nothing passes, over old connections and new ones.
    """

    def __init__(self, url: str, *silent_at: bytes) -> None:
        super().__init__()
        parsed = make_url(url)
        self._folder = parsed.query.get("host")
        self._address = (parsed.host or "localhost", parsed.port or 5432)
        self._left = list(silent_at)
        self.url = parsed.set(host="127.0.0.1", port=self.port, query={}).render_as_string(
            hide_password=False
        )

    def serve(self, client: socket.socket) -> None:
        """Pass on what is said, both ways."""
        with self._connect() as server:
            while not self.over.is_set():
                for one in select.select([client, server], [], [], 0.2)[0]:
                    said = one.recv(65_536)
                    if one is client:
                        self._look_at(said)
                    if self.came.is_set():
                        self.over.wait()
                    if not said:
                        return
                    (server if one is client else client).sendall(said)

    def _look_at(self, said: bytes) -> None:
        while self._left and self._left[0] in said:
            said = said.partition(self._left.pop(0))[2]
            if not self._left:
                self.came.set()

    def _connect(self) -> socket.socket:
        if self._folder is None:
            return socket.create_connection(self._address)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(Path(str(self._folder)) / ".s.PGSQL.5432"))
        return server


@contextmanager
def full_pipe() -> Iterator[int]:
    """Yield the end of a pipe into which nothing more can be written."""
    import os

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b" " * 4096)
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)
