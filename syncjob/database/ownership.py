"""Which tables of a schema are ours, and which belong to another program.

Several programs may share a database, and several Alembic programs a schema. So the revision is in
a version table of our own; a table with one of our names is ours only if that one is there.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, inspect, text

from syncjob.database.dialects import dialect_of
from syncjob.database.tables import metadata
from syncjob.errors import DatabaseError

VERSION_TABLE = "syncjob_version"
VIEWS = ("current_followers", "follow_periods", "daily_follower_changes", "daily_api_calls")
# Until revision 0007 it was Alembic's default table, which other programs use as well.
FORMER_TABLE = "alembic_version"
FORMER_REVISIONS = frozenset(f"{number:04}" for number in range(1, 8))
# Columns of the first revision: no other program has all of these tables with them.
MARKS = {
    "accounts": {"appid"},
    "followers": {"account_id", "openid", "subscribe"},
    "sweep_openids": {"sweep_id", "openid"},
    "runs": {"account_id", "heartbeat_at"},
}


class Names(NamedTuple):
    """Which of our names are taken: the schema of each, and the names in the way of new tables."""

    schemas: dict[str, str]
    in_the_way: list[str]


def look(connection: Connection) -> Names:
    """Look up which of our names are taken."""
    names = [VERSION_TABLE, FORMER_TABLE, *metadata.tables, *VIEWS]
    rows = dialect_of(connection).find_tables(connection, names)
    ours = {name: schema for name, schema, _ in rows}
    return Names(ours, sorted(name for name, _, here in rows if here and name != FORMER_TABLE))


def get_revision(connection: Connection) -> str | None:
    """Return the revision of the database, None if it has no schema of ours."""
    schemas = look(connection).schemas
    if VERSION_TABLE in schemas:
        found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a name of ours
        return found
    return _former_revision(connection, schemas)


def adopt(connection: Connection) -> None:
    """Move the revision from Alembic's default table to our own, if it is ours.

    The default table is dropped if nothing else is in it.
    """
    schemas = look(connection).schemas
    if VERSION_TABLE in schemas:
        return
    revision = _former_revision(connection, schemas)
    if revision is None:
        return
    parameters = {"revision": revision}
    connection.execute(
        text(
            f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, "
            f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(
        text(f"INSERT INTO {VERSION_TABLE} VALUES (:revision)"),  # noqa: S608 - a name of ours
        parameters,
    )
    connection.execute(
        text(f"DELETE FROM {FORMER_TABLE} WHERE version_num = :revision"),  # noqa: S608 - as above
        parameters,
    )
    if not connection.scalar(text(f"SELECT count(*) FROM {FORMER_TABLE}")):  # noqa: S608 - as above
        connection.execute(text(f"DROP TABLE {FORMER_TABLE}"))


def require_room(connection: Connection) -> None:
    """Raise DatabaseError if another program has tables of our names in the way of ours."""
    taken = look(connection).in_the_way
    if VERSION_TABLE in taken:
        raise DatabaseError(
            f"the table {VERSION_TABLE} names no revision; restore the database from a backup"
        )
    if taken:
        some = ", ".join(taken[:5])
        raise DatabaseError(
            f"the database has {some} already, and no {VERSION_TABLE} with it: another program's; "
            "give syncjob a schema of its own"
        )


def require_whole(connection: Connection) -> None:
    """Raise DatabaseError if a table of the current schema is missing, or hidden by another one."""
    require_visible(connection)
    schemas = look(connection).schemas
    _refuse_missing(name for name in metadata.tables if name not in schemas)


def require_visible(connection: Connection) -> None:
    """Raise DatabaseError if another schema of search_path hides a table of ours."""
    schemas = look(connection).schemas
    home = schemas.get(VERSION_TABLE) or schemas.get(FORMER_TABLE)
    hidden = [name for name in metadata.tables if schemas.get(name, home) != home]
    if hidden:
        name = hidden[0]
        raise DatabaseError(
            f"the table {name} of {schemas[name]} hides the one of {home}: another program's; "
            "correct search_path, or give syncjob a schema of its own"
        )


def require_columns(connection: Connection) -> None:
    """Raise DatabaseError if a table of the current schema lacks a column."""
    schema = _schema_of(connection, VERSION_TABLE)
    found = inspect(connection).get_multi_columns(schema=schema, filter_names=[*metadata.tables])
    columns = {name: {column["name"] for column in rows} for (_, name), rows in found.items()}
    _refuse_missing(
        f"{name}.{column.name}"
        for name, table in metadata.tables.items()
        for column in table.columns
        if column.name not in columns.get(name, ())
    )


def _refuse_missing(names: Iterable[str]) -> None:
    missing = sorted(names)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DatabaseError(
            f"the database lacks {', '.join(missing[:3])}{more}, which its revision has: somebody "
            "removed them; restore them from a backup"
        )


def work_in_its_schema(connection: Connection) -> None:
    """Have the transaction create new tables beside the others, wherever search_path begins."""
    schema = _schema_of(connection, VERSION_TABLE) or _schema_of(connection, FORMER_TABLE)
    if schema is not None:
        dialect_of(connection).create_in(connection, schema)


def _schema_of(connection: Connection, name: str) -> str | None:
    """Return the schema of a table; None if the database has no schemas."""
    if not dialect_of(connection).has_schemas:
        return None
    return look(connection).schemas.get(name)


def _former_revision(connection: Connection, schemas: dict[str, str]) -> str | None:
    """Return our revision in Alembic's default table, None if that is another program's."""
    schema = schemas.get(FORMER_TABLE)
    if schema is None or any(schemas.get(name) != schema for name in MARKS):
        return None
    inspector = inspect(connection)
    where = schema if dialect_of(connection).has_schemas else None
    for name, marks in MARKS.items():
        if not marks <= {column["name"] for column in inspector.get_columns(name, schema=where)}:
            return None
    rows = connection.scalars(text(f"SELECT version_num FROM {FORMER_TABLE}"))  # noqa: S608 - as above
    ours = {*rows} & FORMER_REVISIONS
    return ours.pop() if len(ours) == 1 else None
