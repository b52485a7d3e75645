"""The schema's revision: bring a database to the newest, refuse to work on any other."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from syncjob.database.engine import open_engine, reading, writing
from syncjob.errors import DatabaseError, SchemaNotCurrent

# What migrations/ leads to; written down so that only `migrate` needs to import Alembic.
CURRENT_REVISION = "0011"
MIGRATION_LOCK = 0x73796E636A6F62  # "syncjob"


def require_current(connection: Connection) -> None:
    """Raise SchemaNotCurrent unless the database's schema is the one this version works on."""
    found = get_revision(connection)
    if found == CURRENT_REVISION:
        return
    if found is None:
        raise SchemaNotCurrent("the database has no syncjob tables yet (run: syncjob migrate)")
    if found < CURRENT_REVISION:
        raise SchemaNotCurrent(
            f"the database's schema is at revision {found}, this syncjob needs {CURRENT_REVISION} "
            "(run: syncjob migrate)"
        )
    raise SchemaNotCurrent(
        f"the database's schema is at revision {found}, this syncjob only knows {CURRENT_REVISION} "
        "(install the newest syncjob, then run: syncjob migrate)"
    )


def get_revision(connection: Connection) -> str | None:
    """Return the revision the database is at, None if it has no schema of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def upgrade(database_url: str) -> tuple[str | None, str]:
    """Bring the database to the newest schema in one transaction; return the revisions (from, to).

    Creates a SQLite file that does not exist. Two at once wait for each other.
    """
    engine = open_engine(database_url, create=True, timeouts=False)
    try:
        with reading(engine) as connection:
            found = get_revision(connection)
        if found is not None and found > CURRENT_REVISION:
            with reading(engine) as connection:
                require_current(connection)
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            before = get_revision(connection)
            _run_migrations(connection)
            return before, CURRENT_REVISION
    finally:
        engine.dispose()


def migrations_folder() -> Path:
    """Return where the migrations are: in the package of a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise DatabaseError("the migrations are missing from this installation; install syncjob again")


def _run_migrations(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    # An open connection, because a "%" in a URL breaks Alembic's own reading of it.
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
