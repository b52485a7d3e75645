"""Counts the moments before and after each HTTP call and each commit that writes, and dies at one.

Python imports it at its start when this folder is on PYTHONPATH, so that the command itself knows
nothing of it. Each moment is a line of MOMENTS_FILE; at the one whose number is MOMENTS_KILL_AT the
process kills itself. MOMENTS_DRIVER names the database's driver. Without MOMENTS_FILE, nothing.
"""

import http.client
import os
import signal
import socket
import sqlite3
import sqlite3.dbapi2
import threading
from functools import partial
from typing import Any


class Moments:
    """The moments of this process, in their order; its threads take turns."""

    def __init__(self, path: str, kill_at: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kill_at = kill_at
        self._count = 0
        self._turn = threading.Lock()

    def come(self, what: str) -> None:
        """Count a moment; die if it is the one."""
        with self._turn:
            self._count += 1
            os.write(self._file, f"{what}\n".encode())
            if self._count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def watch_calls(moments: Moments) -> None:
    """Have a moment before a request is sent, and one when all of its answer has been read.

    The head of a request goes out in one piece, its body in another.
    """
    send = socket.socket.sendall
    read = http.client.HTTPResponse.read

    def watched_send(self: Any, data: bytes) -> None:
        if data.startswith((b"GET ", b"POST ")):
            moments.come("before call")
        send(self, data)

    def watched_read(self: Any, amt: int | None = None) -> bytes:
        was_open = not self.isclosed()
        body = read(self, amt)
        if was_open and self.isclosed():
            moments.come("after call")
        return body

    socket.socket.sendall = watched_send  # type: ignore[assignment,method-assign]
    http.client.HTTPResponse.read = watched_read  # type: ignore[method-assign]


def watch_sqlite(moments: Moments) -> None:
    """Have a moment before and after each commit of rows that were written."""

    class Watched(sqlite3.Connection):
        written = 0

        def commit(self) -> None:
            writes, self.written = self.total_changes > self.written, self.total_changes
            if writes:
                moments.come("before commit")
            super().commit()
            if writes:
                moments.come("after commit")

    connect: Any = partial(sqlite3.connect, factory=Watched)
    sqlite3.connect = sqlite3.dbapi2.connect = connect


def watch_psycopg(moments: Moments) -> None:
    """Have a moment before and after each commit of a transaction that wrote."""
    import psycopg

    commit = psycopg.Connection.commit

    def watched_commit(self: Any) -> None:
        writes = self.pgconn.exec_(b"SELECT pg_current_xact_id_if_assigned()").get_value(0, 0)
        if writes:
            moments.come("before commit")
        commit(self)
        if writes:
            moments.come("after commit")

    psycopg.Connection.commit = watched_commit  # type: ignore[method-assign]


if "MOMENTS_FILE" in os.environ:
    counted = Moments(os.environ["MOMENTS_FILE"], int(os.environ.get("MOMENTS_KILL_AT", "0")))
    watch_calls(counted)
    {"sqlite": watch_sqlite, "postgresql": watch_psycopg}[os.environ["MOMENTS_DRIVER"]](counted)
