"""What a database says of its own state: looked at, never changed."""

import os
import shutil
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from syncjob.database.engine import open_engine, reading
from syncjob.database.ownership import get_revision
from syncjob.database.poolers import find_pooling
from syncjob.database.schema import find_fault
from syncjob.database.sqlite_files import path_of
from syncjob.database.tables import metadata
from syncjob.model import Blocker, Health

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# What nobody else may do while one of these is held on a table: write, or anything at all.
BLOCKING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")

SERVER = text(
    """
    SELECT current_setting('server_version'),
           CAST(current_setting('server_version_num') AS integer),
           current_setting('server_encoding'),
           pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
           pg_database_size(current_database()),
           now()
    """
)
LACKING = text(
    """
    SELECT wanted.right || ' on ' || wanted.name
    FROM (SELECT r.right, t.name FROM unnest(CAST(:rights AS text[])) AS r("right"),
                                      unnest(CAST(:names AS text[])) AS t(name)) AS wanted
    WHERE to_regclass(quote_ident(wanted.name)) IS NOT NULL
      AND NOT has_table_privilege(quote_ident(wanted.name), wanted.right)
    ORDER BY wanted.name, wanted.right
    """
)
# Sessions of the server beside those that are kept for its superusers, and of the role.
SESSIONS_LEFT = text(
    """
    SELECT least(
        CAST(current_setting('max_connections') AS integer)
            - CAST(current_setting('superuser_reserved_connections') AS integer)
            - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
        (SELECT CASE WHEN rolconnlimit < 0 THEN NULL
                     ELSE rolconnlimit - (SELECT count(*) FROM pg_stat_activity
                                          WHERE usename = current_user) END
         FROM pg_roles WHERE rolname = current_user)
    )
    """
)
BLOCKERS = text(
    """
    SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename, '?'),
           now() - coalesce(a.xact_start, a.state_change),
           l.mode || ' on ' || string_agg(DISTINCT c.relname, ', ')
    FROM pg_locks l
    JOIN pg_class c ON c.oid = l.relation
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.pid <> pg_backend_pid() AND l.mode = ANY(CAST(:modes AS text[]))
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND c.oid = ANY(SELECT to_regclass(quote_ident(name))
                      FROM unnest(CAST(:names AS text[])) AS t(name))
    GROUP BY a.pid, a.application_name, a.usename, a.xact_start, a.state_change, l.mode
    ORDER BY 3 DESC
    """
)


def get_health(database_url: str, *, name: str) -> Health:
    """Ask the database about itself; raise DatabaseError where it cannot be asked.

    PostgreSQL's sessions are called `name`. A SQLite file that does not exist is not created.
    """
    engine = open_engine(database_url, name=name)
    try:
        if engine.dialect.name == "sqlite":
            return _of_sqlite(engine)
        with reading(engine) as connection:
            health = _of_postgresql(connection)
        return replace(health, pooling=find_pooling(engine))
    finally:
        engine.dispose()


def _of_postgresql(connection: Connection) -> Health:
    version, number, encoding, read_only, size, now = connection.execute(SERVER).one()
    names = sorted(metadata.tables)
    missing = list(connection.scalars(LACKING, {"rights": list(RIGHTS), "names": names}))
    blockers = connection.execute(BLOCKERS, {"modes": list(BLOCKING), "names": names})
    return Health(
        kind="postgresql",
        version=version.split()[0],
        version_number=(number // 10_000, number % 10_000),
        now=now,
        encoding=encoding,
        read_only=read_only,
        revision=get_revision(connection),
        fault=find_fault(connection),
        size=size,
        sessions_left=connection.scalar(SESSIONS_LEFT),
        missing=missing,
        blockers=[Blocker(*row) for row in blockers],
    )


def _of_sqlite(engine: Engine) -> Health:
    path = path_of(engine.url)
    with reading(engine) as connection:
        revision, fault = get_revision(connection), find_fault(connection)
        encoding = connection.exec_driver_sql("PRAGMA encoding").scalar_one()
    folder = path.resolve().parent
    missing = [
        f"writing {kind} {place}"
        for kind, place in (("the file", path), ("in the folder", folder))
        if not os.access(place, os.W_OK)
    ]
    return Health(
        kind="sqlite",
        version=sqlite3.sqlite_version,
        version_number=sqlite3.sqlite_version_info,
        now=datetime.now(UTC),
        encoding=encoding,
        read_only=False,
        revision=revision,
        fault=fault,
        size=path.stat().st_size,
        free=shutil.disk_usage(folder).free,
        missing=missing,
        blockers=[] if missing else _who_holds(path),
    )


def _who_holds(path: Path) -> list[Blocker]:
    """See whether somebody else is writing right now, by taking the lock and giving it back."""
    connection = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return [Blocker(None, "another program", timedelta(seconds=1), "writing the file")]
        raise
    finally:
        connection.close()
    return []
