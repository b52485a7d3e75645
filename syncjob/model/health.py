"""What the doctor learns of a database, as frozen values. Pure: no SQL."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

# For how long a pooler lends a session of the server to a client: see PgBouncer's pool_mode.
Pooling = Literal["session", "transaction", "unknown"]


@dataclass(frozen=True, slots=True)
class Blocker:
    """Another session that holds a lock on a table of ours, or, on SQLite, on the whole file."""

    pid: int | None
    name: str
    since: timedelta | None
    what: str


@dataclass(frozen=True, slots=True)
class Health:
    """What a database says of itself.

    `missing` are rights that the job needs and this role or user lacks; `size` and `free` (of the
    disk, known of a local file only) are in bytes; `sessions_left` is how many more the server and
    the role allow, None where nothing limits them; `pooling` is None where no pooler was seen.
    `fault` is what is wrong with the tables.
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
