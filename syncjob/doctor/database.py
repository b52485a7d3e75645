"""Checks the database: reachable, permitted, of a supported version and schema."""

from collections.abc import Iterator
from datetime import timedelta

from syncjob.database.health import get_health
from syncjob.database.schema import CURRENT_REVISION
from syncjob.doctor.findings import Finding, fault, from_error, ok, warning
from syncjob.errors import DatabaseError, SettingsError
from syncjob.model.health import Health
from syncjob.model.spans import span_in_words

# The oldest versions with ON CONFLICT over partial indexes, IDENTITY, RETURNING and FILTER.
OLDEST = {"postgresql": (12, 0), "sqlite": (3, 35, 0)}
MIB = 1 << 20
LEAST_FREE = 500 * MIB
LEAST_SESSIONS = 3  # the job keeps two, and status or a second account one
POOLERS = {
    "transaction": " through a pooler in transaction mode",
    "session": " through a pooler in session mode, of which a run takes three sessions",
    "unknown": " through a pooler",
}
LONG_HELD = timedelta(seconds=20)  # a run waits 30 s for a lock


def check_database(url: str, *, name: str) -> tuple[Health | None, list[Finding]]:
    """Return the database's health, None if it does not answer, and the findings."""
    try:
        health = get_health(url, name=name)
    except (DatabaseError, SettingsError) as error:
        return None, [from_error("database", error)]
    return health, list(judge(health))


def judge(health: Health) -> Iterator[Finding]:
    """Yield what the database's health means for a run."""
    kind = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[health.kind]
    through = POOLERS[health.pooling] if health.pooling else ""
    yield ok("database", f"{kind} {health.version} answers{through}, {health.size / MIB:,.0f} MiB")
    oldest = OLDEST[health.kind]
    if health.version_number < oldest:
        wanted = ".".join(map(str, oldest))
        yield fault("database", f"{kind} {health.version} is too old", f"use {wanted} or newer")
    if not _is_utf8(health):
        yield fault(
            "database",
            f"its encoding is {health.encoding}, in which names cannot be stored",
            "make a database with: createdb -T template0 -E UTF8",
        )
    if health.read_only:
        yield fault(
            "database",
            "it is read-only: a standby, or set to be",
            "name the primary in SYNCJOB_DATABASE_URL",
        )
    yield from _of_the_schema(health)
    yield from _of_rights(health)
    yield from _of_room(health)
    for blocker in health.blockers:
        if blocker.since is not None and blocker.since < LONG_HELD and blocker.pid is not None:
            continue
        who = blocker.name if blocker.pid is None else f"{blocker.name} (pid {blocker.pid})"
        since = "" if blocker.pid is None else f" for {span_in_words(blocker.since or timedelta())}"
        end = "it" if blocker.pid is None else f"it: SELECT pg_terminate_backend({blocker.pid})"
        yield warning("locks", f"{who} has held {blocker.what}{since}", f"end {end}")


def is_usable(health: Health | None) -> bool:
    """Tell whether this version can read the database."""
    return (
        health is not None
        and _is_utf8(health)
        and health.fault is None
        and health.revision == CURRENT_REVISION
    )


def _is_utf8(health: Health) -> bool:
    return health.encoding.startswith("UTF")  # SQLite may have UTF-16, which holds all as well


def _of_the_schema(health: Health) -> Iterator[Finding]:
    revision = health.revision
    if health.fault is not None:
        yield from_error("schema", DatabaseError(health.fault))
    elif revision == CURRENT_REVISION:
        yield ok("schema", f"at revision {revision}, which this syncjob needs")
    elif revision is None:
        yield fault("schema", "the database has no syncjob tables yet", "run: syncjob migrate")
    elif revision < CURRENT_REVISION:
        yield fault(
            "schema",
            f"it is at revision {revision}, this syncjob needs {CURRENT_REVISION}",
            "run: syncjob migrate",
        )
    else:
        yield fault(
            "schema",
            f"it is at revision {revision}, this syncjob only knows {CURRENT_REVISION}",
            "install the newest syncjob",
        )


def _of_rights(health: Health) -> Iterator[Finding]:
    if not health.missing:
        yield ok("rights", "all that a run needs")
        return
    some = ", ".join(health.missing[:3])
    more = f" and {len(health.missing) - 3} more" if len(health.missing) > 3 else ""
    if health.kind == "sqlite":
        yield fault(
            "rights", f"missing: {some}", "run as the user that owns it, or chown file and folder"
        )
        return
    first = health.missing[0]
    yield fault(
        "rights", f"missing: {some}{more}", f"as the owner: GRANT {first} TO the job's role"
    )


def _of_room(health: Health) -> Iterator[Finding]:
    if health.free is not None:
        if health.free < LEAST_FREE:
            yield warning(
                "disk",
                f"{health.free / MIB:,.0f} MiB are free beside the database",
                "free some: a million followers take about 600 MiB",
            )
        else:
            yield ok("disk", f"{health.free / MIB:,.0f} MiB free")
    if health.sessions_left is not None and health.sessions_left < LEAST_SESSIONS:
        yield warning(
            "sessions",
            f"the server, or the role, allows {max(0, health.sessions_left)} sessions more",
            "raise max_connections or the role's limit, or close what holds the others",
        )
