"""A pooler between us and PostgreSQL: whether there is one, and what it answers in its own name.

PgBouncer says all of it with SQLSTATE 08P01, or with none; so its words count, and those of its
like: Supavisor (Supabase), PgCat, Odyssey, RDS Proxy.
"""

import re
import select
from contextlib import ExitStack, closing, suppress
from typing import Any

from sqlalchemy import Engine, exc

from syncjob.model import Pooling

TRANSACTIONS = "set pool_mode = transaction (or session) in the pooler, or name PostgreSQL itself"
FULL = "raise the pooler's max_client_conn (or its plan), or close what holds the others"
NO_SESSION = "the pooler had no session of the server free in time: raise its default_pool_size"
BEHIND = "the pooler does not reach PostgreSQL: is that up? See the log of the pooler"
# The message, which SQLSTATE it stands for, and the cure.
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
    """Return the SQLSTATE and the cure of what only a pooler says; None of everything else."""
    found = ((state, cure) for pattern, state, cure in MESSAGES if pattern.search(text))
    return next(found, None)


LOOKS = 3
LONGEST_WAIT = 5.0  # seconds that a pooler may take to lend a session


def find_pooling(engine: Engine) -> Pooling | None:
    """Return for how long a pooler lends the server's sessions; None if there seems to be none.

    PostgreSQL names the process that serves a connection when that begins. A pooler, which does
    not know it yet, names another.
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
            # In session mode each keeps its own for as long as it is connected.
            if _process(second) == served_by or _process(first) != served_by:
                return "transaction"
        return "session"
    return "unknown"


def _process(connection: Any) -> int:
    """Return which process of the server serves a transaction.

    Raises SQLAlchemy's TimeoutError if none does in time, since others have all of them.
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
