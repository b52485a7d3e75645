"""The schema's revision: migrate a database to the newest, refuse to work on any other."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from syncjob.database import ownership
from syncjob.database.dialects import dialect_of
from syncjob.database.engine import open_engine, reading, writing
from syncjob.errors import DatabaseError, RehearsalRefused, SchemaNotCurrent

# The newest revision of migrations/; repeated here so that only `migrate` imports Alembic.
CURRENT_REVISION = "0012"
MIGRATION_LOCK = 0x73796E636A6F62  # "syncjob"


def require_current(connection: Connection) -> None:
    """Raise DatabaseError unless this version can work on the database.

    SchemaNotCurrent if the revision is another one, which `migrate` fixes.
    """
    dialect_of(connection).require_encoding(connection)
    found = ownership.get_revision(connection)
    if found == CURRENT_REVISION:
        ownership.require_whole(connection)
        return
    if found is None:
        ownership.require_room(connection)
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


def find_fault(connection: Connection) -> str | None:
    """Return what is wrong with the tables, at any revision; None if nothing is."""
    try:
        revision = ownership.get_revision(connection)
        if revision is None:
            ownership.require_room(connection)
        elif revision == CURRENT_REVISION:
            ownership.require_whole(connection)
            ownership.require_columns(connection)
    except DatabaseError as error:
        return str(error)
    return None


def require_only(connection: Connection, appid: str | None) -> None:
    """Raise RehearsalRefused if the database holds another account than this one (None: any may).

    The schema may be at any revision, or missing.
    """
    if appid is None or ownership.get_revision(connection) is None:
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


@dataclass(frozen=True, slots=True)
class Migrated:
    """The revisions before (None: there were no tables) and after a migration.

    `place` describes the database, without user and password.
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

    Creates a SQLite file that does not exist. A second one at the same time waits. A database that
    holds another account than `only_account` is refused with RehearsalRefused; None: none is.
    Raises DatabaseError, and changes nothing, if another program has tables of our names.
    """
    engine = open_engine(database_url, create=True, timeouts=False)
    dialect = dialect_of(engine)
    try:
        with reading(engine) as connection:
            dialect.require_encoding(connection)
            require_only(connection, only_account)
            found = ownership.get_revision(connection)
            place = dialect.place_of(connection)
            if found is not None and found > CURRENT_REVISION:
                require_current(connection)
        with writing(engine) as connection:
            dialect.lock_migrations(connection)
            before = ownership.get_revision(connection)
            if before is None:
                ownership.require_room(connection)
            else:
                ownership.require_visible(connection)
                ownership.work_in_its_schema(connection)
            _run_migrations(connection)
            ownership.require_whole(connection)
            ownership.require_columns(connection)
        if dialect.reconnects_when_created and before is None:
            engine.dispose()
            with reading(engine):
                pass
        return Migrated(before, CURRENT_REVISION, place)
    finally:
        engine.dispose()


def migrations_folder() -> Path:
    """Return the folder of the migrations: in the package of a wheel, beside it in a checkout."""
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
    # An open connection, because Alembic's parser of URLs fails on a "%".
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
