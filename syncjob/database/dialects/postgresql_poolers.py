"""Poolers between us and PostgreSQL: detection, and the errors that they send themselves.

PgBouncer sends these errors with SQLSTATE 08P01, or with none; so their text is matched. Likewise
Supavisor (Supabase), PgCat, Odyssey and RDS Proxy.
"""

import re
import select
from contextlib import ExitStack, closing, suppress
from typing import Any

from sqlalchemy import Engine, exc

from syncjob.model.health import Pooling

TRANSACTIONS = "set pool_mode = transaction (or session) in the pooler, or name PostgreSQL itself"
FULL = "raise the pooler's max_client_conn (or its plan), or close what holds the others"
NO_SESSION = "the pooler had no session of the server free in time: raise its default_pool_size"
BEHIND = "the pooler does not reach PostgreSQL: is that up? See the log of the pooler"
# The pattern of a message, the SQLSTATE it stands for, and the cure.
MESSAGES = tuple(
    (re.compile(pattern, re.IGNORECASE), state, cure)
    for pattern, state, cure in (
        (r"transaction blocks not allowed in statement pooling mode", "0A000", TRANSACTIONS),
        (r"no more connections allowed|max clients reached|max_client_conn", "53300", FULL),
        (
            r"query_wait_timeout|unable to check ?out|timed-out waiting to acquire database"
            r"|could not get connection from the pool",
            "53300",
            NO_SESSION,
        ),
        (
            r"server login has been failing|cannot connect to server|server conn crashed"
            r"|failed to get remote server|server_login_retry",
            "57P03",
            BEHIND,
        ),
        (r"pgbouncer is shutting down|bouncer is shutting down", "57P01", ""),
    )
)


def meaning(text: str) -> tuple[str, str] | None:
    """Return the SQLSTATE and the cure of a pooler's message; None if it is not one."""
    found = ((state, cure) for pattern, state, cure in MESSAGES if pattern.search(text))
    return next(found, None)


LOOKS = 3
LONGEST_WAIT = 5.0  # seconds that a pooler may take to assign a session


def find_pooling(engine: Engine) -> Pooling | None:
    """Return the mode of the pooler; None if there seems to be none.

    PostgreSQL sends the id of its backend process when a connection begins. A pooler, which has
    assigned no backend yet, sends another number.
    """
    with (
        suppress(exc.DBAPIError, exc.TimeoutError, engine.dialect.loaded_dbapi.Error),
        ExitStack() as stack,
    ):
        first: Any = stack.enter_context(closing(engine.raw_connection()))
        served_by = _process(first)
        if served_by == first.driver_connection.info.backend_pid:
            return None
        second: Any = stack.enter_context(closing(engine.raw_connection()))
        for _ in range(LOOKS):
            # In session mode each connection keeps its backend.
            if _process(second) == served_by or _process(first) != served_by:
                return "transaction"
        return "session"
    return "unknown"


def _process(connection: Any) -> int:
    """Return the id of the backend process that serves a transaction.

    Raises SQLAlchemy's TimeoutError if the pool has none free in time.
    """
    libpq = connection.driver_connection.pgconn
    libpq.send_query(b"SELECT pg_backend_pid()")
    found = 0
    while select.select([libpq.socket], [], [], LONGEST_WAIT)[0]:
        libpq.consume_input()
        while not libpq.is_busy():
            result = libpq.get_result()
            if result is None:
                return found
            found = int(result.get_value(0, 0) or 0)
    connection.invalidate()
    raise exc.TimeoutError
