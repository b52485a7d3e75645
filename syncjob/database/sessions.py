"""What a transaction on PostgreSQL may rely on, whoever used its session before.

Behind a pooler in transaction mode each transaction may get another session of the server, and
other programs get it next. So nothing is set, prepared or created for longer than one transaction:
whatever we depend on is set with it, in one message with its BEGIN.
"""

from collections.abc import Callable

from sqlalchemy import Connection

# For SQLAlchemy's driver: no BEGIN of its own, which would cost another round trip; and no prepared
# statements, which stay in a session that others get.
CONNECT_ARGS = {"autocommit": True, "prepare_threshold": None}
# What our statements and the driver read and write, whatever role, database, environment or another
# program have set. (The encoding is part of how a connection is opened.)
PINNED = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
}
# Unless the role, the database or the URL has set them: nobody waits for us for ever.
TIMEOUTS = {
    "lock_timeout": "30s",
    "statement_timeout": "10min",
    "idle_in_transaction_session_timeout": "5min",
}


def begin(*, timeouts: bool) -> Callable[[Connection], None]:
    """Return what begins a transaction, and sets up its session until it ends."""
    settings = [f"set_config('{name}', '{value}', true)" for name, value in PINNED.items()]
    if timeouts:
        settings += [
            f"set_config('{name}', coalesce(nullif(current_setting('{name}'), '0'), '{value}'), "
            "true)"
            for name, value in TIMEOUTS.items()
        ]
    statements = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {', '.join(settings)}"

    def send(connection: Connection) -> None:
        # In AUTOCOMMIT SQLAlchemy says that it begins, and does not.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(statements)

    return send
