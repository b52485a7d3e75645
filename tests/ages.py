"""Time that passes in the database: everything stored becomes older."""

from collections.abc import Callable
from typing import Any

from syncjob.database.column_types import UTCDateTime
from syncjob.database.tables import metadata


def age(query: Callable[..., list[Any]], hours: float, *, postgresql: bool) -> None:
    """Move every stored instant so many hours into the past.

    But for those of the token, and for the figures that WeChat sent.
    """
    for table in metadata.sorted_tables:
        names = [c.name for c in table.columns if isinstance(c.type, UTCDateTime)]
        names = [name for name in names if name != "subscribe_time"]
        if not names or table.name == "access_tokens":
            continue
        seconds = round(hours * 3600)
        moved = "{0} - interval '{1} seconds'"
        if not postgresql:
            moved = "strftime('%Y-%m-%d %H\\:%M\\:%f000', {0}, '-{1} seconds')"
        values = ", ".join(f"{name} = {moved.format(name, seconds)}" for name in names)
        query(f"UPDATE {table.name} SET {values}")
