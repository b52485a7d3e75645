"""The health of a SQLite file."""

import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from syncjob.database.dialects.sqlite_files import path_of
from syncjob.database.engine import reading
from syncjob.database.ownership import get_revision
from syncjob.database.schema import find_fault
from syncjob.model.health import Blocker, Health


def get_health(engine: Engine) -> Health:
    """Look at the file, its folder, and the program that holds its lock."""
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
    """Find out whether another program writes right now, by taking the lock for a moment."""
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
