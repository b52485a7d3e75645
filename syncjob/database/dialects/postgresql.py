"""PostgreSQL, by psycopg, directly or behind a pooler.

Behind a pooler in transaction mode each transaction may get another session of the server, and
other programs get it next. So nothing is set, prepared or created for longer than one transaction:
all settings that we depend on are set with it, in one message with its BEGIN.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    ARRAY,
    URL,
    ColumnElement,
    Connection,
    Engine,
    Interval,
    Select,
    Table,
    Text,
    any_,
    cast,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql

from syncjob.database.column_types import UTCDateTime
from syncjob.database.dialects import postgresql_errors
from syncjob.database.dialects.base import Dialect, Staged
from syncjob.database.dialects.postgresql_staging import StagedParameters
from syncjob.database.dialects.postgresql_urls import parse
from syncjob.errors import DatabaseError
from syncjob.limits import Overdue, within
from syncjob.model.health import Health
from syncjob.model.user_info import UserInfo

# It logs what it does with a statement that a signal ends; the outcome we log ourselves.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# Options of the driver unless the URL has them: a server that vanishes is noticed within a minute,
# in the middle of a statement too.
OPTIONS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
CONNECT_LIMIT = 60.0  # seconds, with all hosts and addresses, and name servers
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
# Unless the role, the database or the URL has set them: other programs never wait forever for us.
TIMEOUTS = {
    "lock_timeout": "30s",
    "statement_timeout": "10min",
    "idle_in_transaction_session_timeout": "5min",
}
MIGRATION_LOCK = 0x73796E636A6F62  # "syncjob"
SEPARATOR = "\x1f"  # ASCII's own; an OpenID that holds it is not WeChat's, and stored all the same
# What a name without a schema means, and whether that is where a new table would be made.
VISIBLE = text(
    """
    SELECT c.relname, n.nspname, n.nspname = current_schema()
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = ANY(CAST(:names AS text[])) AND pg_table_is_visible(c.oid)
    """
)


class PostgreSQL(Dialect):
    """PostgreSQL 13 or newer, and what speaks its protocol."""

    name = "postgresql"
    writers = 2  # while one of them waits for the server, the other prepares its rows
    has_schemas = True
    has_clock = True
    keeps_time_zone = True

    def open_engine(self, database_url: str, *, create: bool, name: str, timeouts: bool) -> Engine:
        """Return an engine whose sessions are called `name`."""
        url, options = parse(database_url)
        options = {**OPTIONS, "application_name": name[:63], **options}
        engine = create_engine(
            url,
            hide_parameters=True,
            connect_args={**options, **CONNECT_ARGS},
            use_native_hstore=False,  # it sends a query for a type that we have no column of
        )
        event.listen(engine, "do_connect", _connect)
        event.listen(engine, "begin", _begin(timeouts=timeouts))
        return engine

    def place_of(self, connection: Connection) -> str:
        """Say which database, server and schema."""
        # Of the connection: the URL may leave all of it to libpq's variables and defaults.
        driver: Any = connection.connection.driver_connection
        info = driver.info
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
        of = "" if schema in ("public", None) else f", schema {schema}"
        return f"PostgreSQL, {info.dbname} on {info.host}:{info.port}{of}"

    def error(self, url: URL, error: Any, *, lost: bool, committing: bool) -> DatabaseError:
        """Return the error that the driver's means, with its cure."""
        # A COMMIT that PostgreSQL itself did not answer may be stored or not: a pooler that has
        # lost the server says so with an SQLSTATE of connections.
        state = getattr(error, "sqlstate", None) or "08"
        undone = not (committing and lost and state.startswith(("08", "57P")))
        return postgresql_errors.translated(url, error, lost=lost, undone=undone)

    def get_health(self, engine: Engine) -> Health:
        """Ask the server about itself, and look for a pooler."""
        from syncjob.database.dialects.postgresql_health import get_health

        return get_health(engine)

    def find_tables(
        self, connection: Connection, names: Sequence[str]
    ) -> list[tuple[str, str, bool]]:
        """Return the visible ones of these tables and views."""
        return [(*row,) for row in connection.execute(VISIBLE, {"names": names})]

    def create_in(self, connection: Connection, schema: str) -> None:
        """Put the schema into search_path, for this transaction."""
        path = text("SELECT set_config('search_path', quote_ident(:schema), true)")
        connection.execute(path, {"schema": schema})

    def require_encoding(self, connection: Connection) -> None:
        """Raise DatabaseError unless the database is UTF-8."""
        encoding = connection.scalar(text("SELECT current_setting('server_encoding')"))
        if encoding != "UTF8":
            raise DatabaseError(
                f"the database's encoding is {encoding}, in which names cannot be stored; "
                "make a database with: createdb -T template0 -E UTF8"
            )

    def lock_migrations(self, connection: Connection) -> None:
        """Take an advisory lock, for this transaction."""
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))

    def insert(self, table: Table) -> Any:
        """Return PostgreSQL's INSERT, which has ON CONFLICT."""
        return postgresql.insert(table)

    def openid_rows(self, openids: Sequence[str]) -> Select[tuple[str]]:
        """Return a SELECT that unnests one array."""
        # PostgreSQL does not know how many rows these are, so that it looks them up by index.
        return select(func.unnest(_array(openids), type_=Text).column_valued("openid"))

    def is_one_of(self, column: ColumnElement[str], openids: Sequence[str]) -> ColumnElement[bool]:
        """Return the condition that a column is one of many OpenIDs, looked up by index.

        If PostgreSQL knew how many they are, it might prefer to read all followers for every page;
        so a scalar subquery hides the array.
        """
        return column == any_(cast(select(_array(openids)).scalar_subquery(), ARRAY(Text)))

    def later(self, one: Any, other: Any) -> ColumnElement[Any]:
        """Return the greater one; greatest() ignores NULL."""
        return func.greatest(one, other)

    def server_now(self, offset: timedelta) -> ColumnElement[datetime]:
        """Return the time of this statement, not of the transaction's start."""
        now = func.clock_timestamp(type_=UTCDateTime())
        return now + literal(offset, Interval) if offset else now

    def stage(
        self, connection: Connection, infos: Sequence[UserInfo], pages: Mapping[str, int]
    ) -> Staged:
        """Stage the answers as parameters."""
        return StagedParameters(connection, infos, pages)


DIALECT = PostgreSQL()


def _array(openids: Sequence[str]) -> ColumnElement[Any]:
    """Return PostgreSQL's array of the OpenIDs.

    One text as a rule, since the driver takes ten times as long to write an array.
    """
    joined = SEPARATOR.join(openids)
    if joined.count(SEPARATOR) == len(openids) - 1:
        return func.string_to_array(joined, SEPARATOR)
    return literal(list(openids), postgresql.ARRAY(Text))


def _connect(dialect: Any, _record: object, arguments: Any, options: dict[str, Any]) -> Any:
    # A name server that does not answer would hold this thread in C, where no signal is handled.
    try:
        return within(CONNECT_LIMIT, partial(dialect.connect, *arguments, **options))
    except Overdue:
        raise dialect.loaded_dbapi.OperationalError("connection timeout expired") from None


def _begin(*, timeouts: bool) -> Callable[[Connection], None]:
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
