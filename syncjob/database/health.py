"""The health of a database: read only, nothing is changed."""

from syncjob.database.dialects import dialect_of
from syncjob.database.engine import open_engine
from syncjob.model.health import Health


def get_health(database_url: str, *, name: str) -> Health:
    """Ask the database about itself; raise DatabaseError where it cannot be asked.

    PostgreSQL's sessions are called `name`. A SQLite file that does not exist is not created.
    """
    engine = open_engine(database_url, name=name)
    try:
        return dialect_of(engine).get_health(engine)
    finally:
        engine.dispose()
