"""How many followers an account has: counted once a run, not by each reader."""

from typing import NamedTuple

from sqlalchemy import func, or_, select

from syncjob.database.tables import followers, runs
from syncjob.database.transactions import Transaction
from syncjob.errors import ExitCode

# A run that has none of these has changed no follower.
CHANGES = ("pages", "new", "returned", "enriched", "skipped", "unfollowed")
# How many of the newest runs to look at: few runs in a row die without changing a follower.
LATEST_RUNS = 10


class Counts(NamedTuple):
    """Rows of followers, and those of them that are subscribed."""

    followers: int
    subscribed: int


def get(tx: Transaction, account_id: int) -> Counts:
    """Return how many followers there are; count only if a run has changed some since."""
    return _get_counted(tx, account_id) or _count(tx, account_id)


def get_at_end(
    tx: Transaction, account_id: int, status: str, exit_code: int | None
) -> Counts | None:
    """Return how many there are at the end of a run; None if they cannot be counted now.

    A run that a signal ends has no time to count. After a failure of the database the followers
    may be locked, and the end of the run must be recorded all the same.
    """
    if status == "interrupted" or exit_code == ExitCode.DATABASE:
        return _get_counted(tx, account_id)
    return get(tx, account_id)


def _get_counted(tx: Transaction, account_id: int) -> Counts | None:
    """Return the counts of the last run that changed a follower, None if it has none."""
    changed = or_(*(runs.c[name] > 0 for name in CHANGES))
    newest = tx.connection.execute(
        select(runs.c.followers, runs.c.subscribed, changed)
        .where(runs.c.account_id == account_id)
        .order_by(runs.c.id.desc())
        .limit(LATEST_RUNS)
    )
    for count, subscribed, has_changed in newest:
        if count is not None and subscribed is not None:
            return Counts(count, subscribed)
        if has_changed:
            return None
    return None


def _count(tx: Transaction, account_id: int) -> Counts:
    row = tx.connection.execute(
        select(func.count(), func.count().filter(followers.c.subscribe.is_(True))).where(
            followers.c.account_id == account_id
        )
    ).one()
    return Counts(*row)
