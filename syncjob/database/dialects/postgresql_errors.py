"""What PostgreSQL's errors mean: a sentence with the cure, and whether a retry may succeed."""

from typing import Any

from sqlalchemy import URL

from syncjob.database.dialects import postgresql_poolers as poolers
from syncjob.database.dialects import postgresql_refusals as refusals
from syncjob.database.dialects.base import ANOTHERS, INCOMPLETE
from syncjob.database.retry import Busy, Undone
from syncjob.errors import DatabaseError

# SQLSTATEs, or the beginnings of them, of errors that pass by themselves.
PASSING = (
    "08",  # the connection failed
    "40001",  # serialization failure
    "40P01",  # deadlock
    "53300",  # too many connections
    "55P03",  # lock timeout
    "57P",  # the server is shut down, starts, or an administrator has ended the session
    "busy",  # no SQLSTATE: a server that accepts no sessions, in a language other than English
)
BUSY = ("53300", "57P03", "busy")
CURES = {
    "22021": "make a database with: createdb -T template0 -E UTF8",
    "22P05": "make a database with: createdb -T template0 -E UTF8",
    "25006": "it is read-only: name the primary server, or let it be written to",
    "28": "check the user and the password of SYNCJOB_DATABASE_URL",
    "3D000": "create it, or check SYNCJOB_DATABASE_URL",
    "3F000": "the schema of search_path does not exist: CREATE SCHEMA, or correct search_path",
    "42501": "grant the role of SYNCJOB_DATABASE_URL what it lacks; syncjob doctor names it",
    "42703": INCOMPLETE,
    "42P01": INCOMPLETE,
    "42710": ANOTHERS,
    "42P07": ANOTHERS,
    "53100": "free some space on the server's disk and run again",
    "53300": "raise max_connections or the role's limit, or close what holds the others",
    "55P03": "another session holds a lock; see pg_locks",
    "57014": "it took longer than statement_timeout; see what holds the server up",
    "57P": "the server was shut down or the session ended; the next run goes on",
    "XX001": "restore it from a backup",
    "XX002": "REINDEX it, or restore it from a backup",
}


def translated(url: URL, error: Any, *, lost: bool, undone: bool) -> DatabaseError:
    """Return our error for one of the driver's.

    `lost`: there is no connection any more. `undone`: the transaction certainly stored nothing.
    """
    if refusals.is_of_connecting(error):
        return _of_connecting(url, error, undone=undone)
    # DETAIL and CONTEXT lines may quote rows; the primary message never does.
    diagnostics = getattr(error, "diag", None)
    text = getattr(diagnostics, "message_primary", None) or " ".join(str(error).split())[:400]
    state = getattr(error, "sqlstate", None) or ""
    where = f"{url.host or 'local socket'}/{url.database or ''}"
    state, cure = poolers.meaning(text) or (state, _cure_of(state))
    return _database_error(where, text, cure, state, passes=lost and not state, undone=undone)


def _of_connecting(url: URL, error: Any, *, undone: bool) -> DatabaseError:
    where, found = refusals.explain(url, error)
    telling = refusals.most_telling(found)
    cure = refusals.CONNECTION_CURES.get(telling.kind) or _cure_of(telling.kind)
    # A server that restarts may also hang up, or send garbage.
    passes = any(one.kind in (*refusals.NEVER_ASKED, "no postgresql", "") for one in found)
    words = refusals.in_words(found)
    state, cure = poolers.meaning(telling.reason) or (telling.kind, cure)
    return _database_error(where, words, cure, state, passes=passes, undone=undone)


def _database_error(
    where: str, text: str, cure: str, state: str, *, passes: bool, undone: bool
) -> DatabaseError:
    sentence = f"the database {where} cannot be used: {text}" + (f"; {cure}" if cure else "")
    if undone and (passes or state.startswith(PASSING)):
        return (Busy if state.startswith(BUSY) else Undone)(sentence)
    return DatabaseError(sentence)


def _cure_of(state: str) -> str:
    return next((cure for sign, cure in CURES.items() if state.startswith(sign)), "")
