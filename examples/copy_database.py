"""Copy all tables of syncjob into another database, from SQLite to PostgreSQL or back.

    python examples/copy_database.py sqlite:////var/lib/syncjob/syncjob.db postgresql://db/crm_wechat

Both databases must have the current schema (syncjob migrate), the target must have no account, and
no run may be in progress. The copy is one transaction. Access tokens are not copied; the next run
fetches one.
"""

import sys

from sqlalchemy import Connection, Identity, func, select, text

from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.schema import require_current
from syncjob.database.tables import accounts, metadata, runs
from syncjob.errors import SyncjobError

ROWS = 1_000
NOT_COPIED = {"access_tokens"}


def copy(source_url: str, target_url: str) -> dict[str, int]:
    """Copy every table; return the number of rows of each."""
    source_engine = open_engine(source_url, name="syncjob/copy")
    target_engine = open_engine(target_url, name="syncjob/copy", timeouts=False)
    copied = {}
    try:
        with reading(source_engine) as source, writing(target_engine) as target:
            require_current(source)
            require_current(target)
            if source.scalar(select(func.count()).where(runs.c.status == "running")):
                raise SyncjobError("a run is in progress in the source; stop the timer and wait")
            if target.scalar(select(func.count()).select_from(accounts)):
                raise SyncjobError("the target holds an account already; name an empty database")
            for table in metadata.sorted_tables:  # in the order of their foreign keys
                if table.name in NOT_COPIED:
                    continue
                copied[table.name] = 0
                for rows in (
                    source.execute(select(table).execution_options(yield_per=ROWS))
                    .mappings()
                    .partitions(ROWS)
                ):
                    target.execute(table.insert(), [dict(row) for row in rows])
                    copied[table.name] += len(rows)
                if isinstance(table.c[0].identity, Identity) and table.c[0].name == "id":
                    _advance_sequence(target, table.name)
    finally:
        source_engine.dispose()
        target_engine.dispose()
    return copied


def _advance_sequence(target: Connection, table: str) -> None:
    """Advance PostgreSQL's sequence past the copied ids; SQLite does so by itself."""
    if target.dialect.name == "postgresql":
        target.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "  # noqa: S608 - our names
                f"coalesce(max(id), 0) + 1, false) FROM {table}"
            )
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python copy_database.py SOURCE_URL TARGET_URL")
    try:
        for name, number in copy(*sys.argv[1:]).items():
            print(f"{name:<20} {number:>12,}")
    except SyncjobError as error:
        sys.exit(f"copy_database: {error}")
