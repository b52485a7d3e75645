"""The schema's revision: bring a database to the newest, refuse to work on any other."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from syncjob.database.engine import open_engine, place_of, reading, writing
from syncjob.errors import DatabaseError, RehearsalRefused, SchemaNotCurrent

# What migrations/ leads to; written down so that only `migrate` needs to import Alembic.
CURRENT_REVISION = "0009"
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


def require_only(connection: Connection, appid: str | None) -> None:
    """Raise RehearsalRefused if the database holds another account than this one (None: any may).

    The schema may be of any revision, or not there yet.
    """
    if appid is None or get_revision(connection) is None:
        return
    others = [
        other
        for other in connection.scalars(text("SELECT appid FROM accounts ORDER BY appid"))
        if other != appid
    ]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise RehearsalRefused(
            f"the database holds the account {others[0]}{more}, and syncjob simulate would add the "
            f"made-up {appid}; nothing was touched\n"
            "name another database in SYNCJOB_DATABASE_URL (or: syncjob simulate --anyway)"
        )


def get_revision(connection: Connection) -> str | None:
    """Return the revision the database is at, None if it has no schema of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


@dataclass(frozen=True, slots=True)
class Migrated:
    """From which revision (None: there were no tables) to which, and where.

    `place` is the database in words, without user and password.
    """

    before: str | None
    after: str
    place: str


def upgrade(database_url: str) -> tuple[str | None, str]:
    """Bring the database to the newest schema; return the revisions (from, to)."""
    done = migrate(database_url)
    return done.before, done.after


def migrate(database_url: str, *, only_account: str | None = None) -> Migrated:
    """Bring the database to the newest schema in one transaction.

    Creates a SQLite file that does not exist. Two at once wait for each other. A database that
    holds another account than `only_account` is refused with RehearsalRefused; None: none is.
    """
    engine = open_engine(database_url, create=True, timeouts=False)
    try:
        with reading(engine) as connection:
            require_only(connection, only_account)
            found = get_revision(connection)
            place = place_of(connection)
        if found is not None and found > CURRENT_REVISION:
            with reading(engine) as connection:
                require_current(connection)
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            before = get_revision(connection)
            _run_migrations(connection)
            return Migrated(before, CURRENT_REVISION, place)
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
