"""What `status` asks of the database, in one read transaction that the store opens."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from syncjob.database import absence, counts, quotas, runs, sweeps, unfollows
from syncjob.database.clock import DatabaseClock
from syncjob.database.column_types import UTCDateTime
from syncjob.database.followers import get_prefix, is_unenriched_now
from syncjob.database.tables import followers, quarantine
from syncjob.model import Account, AccountStatus, FollowerCount

FOLLOWED_AT = text(
    """
    SELECT count(*) FILTER (WHERE followed_before <= :at
                              AND (unfollowed_before IS NULL OR unfollowed_after >= :at)),
           count(*)
    FROM follow_periods
    WHERE account_id = :account_id
      AND (followed_after IS NULL OR followed_after <= :at)
      AND (unfollowed_before IS NULL OR unfollowed_before > :at)
    """
).bindparams(bindparam("at", type_=UTCDateTime))

COMPLETE_SINCE = text(
    "SELECT complete_since FROM account_history WHERE account_id = :account_id"
).columns(complete_since=UTCDateTime)


def count_at(connection: Connection, account_id: int, at: datetime) -> FollowerCount:
    """Count those who certainly followed at that moment, and those who may have.

    Nobody knows the latter of a moment before the first sweep was sealed.
    """
    row = connection.execute(FOLLOWED_AT, {"account_id": account_id, "at": at}).one()
    since = connection.scalar(COMPLETE_SINCE, {"account_id": account_id})
    is_complete = since is not None and since <= at
    return FollowerCount(row[0], row[1] if is_complete else None, since)


def get_status(connection: Connection, clock: DatabaseClock, account: Account) -> AccountStatus:
    """Collect the counts, sweeps and runs that matter now; reads few rows of followers."""
    count, subscribed = counts.get(connection, account.id)
    unenriched = connection.execute(
        select(func.count()).where(
            followers.c.account_id == account.id, is_unenriched_now(connection, account.id)
        )
    ).scalar_one()
    quarantined = connection.execute(
        select(func.count()).where(quarantine.c.account_id == account.id)
    ).scalar_one()
    unanswered, refused = absence.count(connection, account.id)
    running = runs.get_running(connection, account.id)
    last = runs.get_last(connection, account.id)
    asking = last if last is None or not last.idle else runs.get_last_asking(connection, account.id)
    shown = {run.id for run in (running, last, asking) if run is not None}
    return AccountStatus(
        account=account,
        openid_prefix=get_prefix(connection, account.id),
        followers=count,
        subscribed=subscribed,
        unenriched=unenriched,
        quarantined=quarantined,
        quotas=quotas.get_uses(connection, clock, account.id),
        candidates=unfollows.count_candidates(connection, account.id),
        unanswered=unanswered,
        refused=refused,
        open_sweep=sweeps.get_newest(connection, account.id, "open"),
        sealed_sweep=sweeps.get_newest(connection, account.id, "sealed"),
        running=running,
        calls=quotas.get_calls(connection, sorted(shown)),
        last_run=last,
        last_asking_run=asking,
        last_success_at=runs.get_last_success_at(connection, account.id),
        as_of=connection.execute(select(clock.now())).scalar_one(),
    )
