"""Runs the migrations on the connection that syncjob passes, or on SYNCJOB_DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection

from syncjob.database.ownership import VERSION_TABLE, adopt
from syncjob.database.tables import metadata


def run(connection: Connection) -> None:
    """Run them inside the caller's transaction.

    The version table is our own, since other programs of the schema may use Alembic too.
    """
    adopt(connection)
    # SQLite cannot alter a table in place: Alembic copies it ("batch").
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        version_table=VERSION_TABLE,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    from syncjob.config import open_settings
    from syncjob.database.engine import open_engine, writing

    url = open_settings().database().database_url.reveal()
    engine = open_engine(url, create=True, timeouts=False)
    try:
        with writing(engine) as own_connection:
            run(own_connection)
    finally:
        engine.dispose()
