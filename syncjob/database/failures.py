"""What the drivers' errors mean: a sentence with its cure, and whether they may pass."""

from typing import Any

from sqlalchemy import URL

from syncjob.database.patience import Busy, Undone
from syncjob.database.sqlite_files import path_of
from syncjob.errors import DatabaseError

# PostgreSQL's SQLSTATEs, whole or their class, that pass by themselves.
PASSING = (
    "08",  # the connection failed
    "40001",  # serialization failure
    "40P01",  # deadlock
    "53300",  # too many connections
    "55P03",  # lock timeout
    "57P",  # the server is shut down, starts, or an administrator has ended the session
)
BUSY = ("53300", "57P03")
# Who is not let in gets words alone, of which these are in every version's.
REFUSALS = {
    "too many": "53300",
    "remaining connection slots": "53300",
    "starting up": "57P03",
    "shutting down": "57P03",
    "authentication failed": "28P01",
    "pg_hba.conf": "28000",
    "does not exist": "3D000",
}
# Nobody was there to refuse.
UNREACHED = ("connection refused", "failed to resolve", "timeout", "no route", "unreachable")
ASIDE = " Is the server running on that host and accepting TCP/IP connections?"  # of libpq's
CURES = {
    "25006": "it is read-only: name the primary server, or let it be written to",
    "28": "check the user and the password of SYNCJOB_DATABASE_URL",
    "3D000": "create it, or check SYNCJOB_DATABASE_URL",
    "42501": "grant the role of SYNCJOB_DATABASE_URL what it lacks; syncjob doctor names it",
    "53100": "free some space on the server's disk and run again",
    "53300": "raise max_connections or the role's limit, or close what holds the others",
    "55P03": "another session holds a lock; see pg_locks",
    "57014": "it took longer than statement_timeout; see what holds the server up",
    "57P": "the server was shut down or the session ended; the next run goes on",
}
SQLITE_CURES = {
    "readonly": "check the rights of the file and its folder",
    "unable to open": "check the path and the rights of its folder",
    "locked": "another program holds it; close that and run again",
    "full": "free some disk space and run again",
    "disk I/O": "check the disk and the space left on it, and run again",
    "not a database": "it is no SQLite file; check SYNCJOB_DATABASE_URL",
    "malformed": "restore it from a backup",
}


def translated(url: URL, error: Any, *, lost: bool, undone: bool) -> DatabaseError:
    """Return the error of ours that one of a driver's means.

    `lost`: there is no connection any more. `undone`: the transaction certainly stored nothing.
    """
    if url.get_backend_name() == "sqlite":
        where, text = f"the database file {str(path_of(url))!r}", str(error)
        cure = next(
            (cure for sign, cure in SQLITE_CURES.items() if sign in text), "look at the file"
        )
        return DatabaseError(f"{where} cannot be used: {text}; {cure}")
    # DETAIL and CONTEXT lines may quote rows; the primary message never does.
    diagnostics = getattr(error, "diag", None)
    text = getattr(diagnostics, "message_primary", None) or " ".join(str(error).split())[:400]
    text = text.replace(ASIDE, "")
    sentence = (
        f"the database {url.host or 'local socket'}/{url.database or ''} cannot be used: {text}"
    )
    state = getattr(error, "sqlstate", None) or ""
    if not state and "connection failed" in text:
        state = next((state for sign, state in REFUSALS.items() if sign in text), "")
    cure = next((cure for sign, cure in CURES.items() if state.startswith(sign)), "")
    if not state and any(sign in text.lower() for sign in UNREACHED):
        cure = "is the server up? Check host and port of SYNCJOB_DATABASE_URL"
    sentence += f"; {cure}" if cure else ""
    passes = state.startswith(PASSING) if state else lost
    if passes and undone:
        return (Busy if state.startswith(BUSY) else Undone)(sentence)
    return DatabaseError(sentence)
