"""The state of a database server or file, as the doctor reads it. Pure: no SQL."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

# How long a pooler assigns a server session to a client: see PgBouncer's pool_mode.
Pooling = Literal["session", "transaction", "unknown"]


@dataclass(frozen=True, slots=True)
class Blocker:
    """Another session that holds a lock on one of our tables or, on SQLite, on the file."""

    pid: int | None
    name: str
    since: timedelta | None
    what: str


@dataclass(frozen=True, slots=True)
class Health:
    """Version, schema, size, limits and locks of a database.

    `missing`: privileges that the job needs and this role lacks. `size` and `free` are in bytes;
    `free` is the space on the disk, known only for a local file. `sessions_left`: how many more
    sessions the server and the role allow, None without a limit. `pooling`: None if no pooler was
    detected. `fault`: what is wrong with the tables.
    """

    kind: Literal["sqlite", "postgresql"]
    version: str
    version_number: tuple[int, ...]
    now: datetime
    encoding: str
    read_only: bool
    revision: str | None
    fault: str | None
    size: int
    free: int | None = None
    sessions_left: int | None = None
    pooling: Pooling | None = None
    missing: list[str] = field(default_factory=list)
    blockers: list[Blocker] = field(default_factory=list)
