"""The health of a PostgreSQL server."""

from dataclasses import replace

from sqlalchemy import Connection, Engine, text

from syncjob.database.dialects.postgresql_poolers import find_pooling
from syncjob.database.engine import reading
from syncjob.database.ownership import get_revision
from syncjob.database.schema import find_fault
from syncjob.database.tables import metadata
from syncjob.model.health import Blocker, Health

RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
# While one of these is held on a table, nobody else can write to it, or use it at all.
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
# Sessions left on the server, without those reserved for superusers, and left to the role.
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


def get_health(engine: Engine) -> Health:
    """Ask the server about itself, in one transaction, and look for a pooler."""
    with reading(engine) as connection:
        health = _ask(connection)
    return replace(health, pooling=find_pooling(engine))


def _ask(connection: Connection) -> Health:
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
