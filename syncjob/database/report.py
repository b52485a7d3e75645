"""What `status` asks of the database, in one read transaction that the store opens."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, text

from syncjob.database import absence, quotas, runs, sweeps, unfollows
from syncjob.database.clock import DatabaseClock
from syncjob.database.column_types import UTCDateTime
from syncjob.database.followers import backfill_started_at, is_unenriched
from syncjob.database.tables import followers, quarantine
from syncjob.database.tables import runs as runs_table
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


def count_at(connection: Connection, account_id: int, at: datetime) -> FollowerCount:
    """Count those who certainly followed at that moment, and those who may have."""
    row = connection.execute(FOLLOWED_AT, {"account_id": account_id, "at": at}).one()
    return FollowerCount(*row)


def get_status(connection: Connection, clock: DatabaseClock, account: Account) -> AccountStatus:
    """Count the followers, and collect the sweeps and runs that matter now."""
    unenriched = is_unenriched(backfill_started_at(account.id))
    count, subscribed, to_enrich = connection.execute(
        select(
            func.count(),
            func.count().filter(followers.c.subscribe.is_(True)),
            func.count().filter(unenriched),
        ).where(followers.c.account_id == account.id)
    ).one()
    quarantined = connection.execute(
        select(func.count()).where(quarantine.c.account_id == account.id)
    ).scalar_one()
    unanswered, refused = absence.count(connection, account.id)
    ended = runs.get_latest(connection, account.id, runs_table.c.status != "running", limit=1)
    running = runs.get_running(connection, account.id)
    shown = [run.id for run in (running, *ended[:1]) if run is not None]
    return AccountStatus(
        account=account,
        followers=count,
        subscribed=subscribed,
        unenriched=to_enrich,
        quarantined=quarantined,
        quotas=quotas.get_uses(connection, clock, account.id),
        candidates=unfollows.count_candidates(connection, account.id),
        unanswered=unanswered,
        refused=refused,
        open_sweep=sweeps.get_newest(connection, account.id, "open"),
        sealed_sweep=sweeps.get_newest(connection, account.id, "sealed"),
        running=running,
        calls=quotas.get_calls(connection, shown),
        last_run=ended[0] if ended else None,
        last_success_at=runs.get_last_success_at(connection, account.id),
        as_of=connection.execute(select(clock.now())).scalar_one(),
    )
