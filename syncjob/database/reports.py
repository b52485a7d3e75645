"""Reports: what `status`, metrics and `count` show, each read in one transaction."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select, text

from syncjob.database import candidates, counts, quotas, runs, sweeps
from syncjob.database.column_types import UTCDateTime
from syncjob.database.conditions import is_unenriched_now
from syncjob.database.followers import find_openid_prefix
from syncjob.database.tables import (
    IS_NOT_IDLE,
    api_calls,
    api_errors,
    call_totals,
    followers,
    quarantine,
    run_totals,
)
from syncjob.database.tables import runs as runs_table
from syncjob.database.totals import COUNTS
from syncjob.database.transactions import Database, Transaction, reads
from syncjob.model.accounts import Account, AccountStatus, FollowerCount
from syncjob.model.quota import Failed
from syncjob.model.runs import Totals

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


@dataclass
class Reports:
    """Reports on an account."""

    database: Database

    @reads
    def get_status(self, tx: Transaction, account: Account) -> AccountStatus:
        """Return the counts, sweeps and runs that matter now; reads few rows of followers."""
        count, subscribed = counts.get(tx, account.id)
        unenriched = tx.connection.execute(
            select(func.count()).where(
                followers.c.account_id == account.id, is_unenriched_now(tx, account.id)
            )
        ).scalar_one()
        quarantined = tx.connection.execute(
            select(func.count()).where(quarantine.c.account_id == account.id)
        ).scalar_one()
        unanswered, refused = candidates.count_unanswered(tx, account.id)
        running = runs.find_running(tx, account.id)
        last = runs.find_last_ended(tx, account.id)
        asking = (
            last
            if last is None or not last.idle
            else runs.find_last_ended(tx, account.id, IS_NOT_IDLE)
        )
        shown = {run.id for run in (running, last, asking) if run is not None}
        return AccountStatus(
            account=account,
            openid_prefix=find_openid_prefix(tx, account.id),
            followers=count,
            subscribed=subscribed,
            unenriched=unenriched,
            quarantined=quarantined,
            quotas=quotas.find_uses(tx, account.id),
            candidates=candidates.count_to_ask(tx, account.id),
            unanswered=unanswered,
            refused=refused,
            open_sweep=sweeps.find_newest(tx, account.id, "open"),
            sealed_sweep=sweeps.find_newest(tx, account.id, "sealed"),
            running=running,
            calls=quotas.find_calls(tx, sorted(shown)),
            step_counts=runs.find_counts(tx, sorted(shown)),
            last_run=last,
            last_asking_run=asking,
            last_success_at=runs.find_last_success_at(tx, account.id),
            as_of=tx.get_now(),
        )

    @reads
    def count_at(self, tx: Transaction, account_id: int, at: datetime) -> FollowerCount:
        """Return how many followed at that moment, at least and at most.

        The upper bound is not known of a moment before the first sweep was sealed.
        """
        row = tx.connection.execute(FOLLOWED_AT, {"account_id": account_id, "at": at}).one()
        since = tx.connection.scalar(COMPLETE_SINCE, {"account_id": account_id})
        is_complete = since is not None and since <= at
        return FollowerCount(row[0], row[1] if is_complete else None, since)

    @reads
    def get_totals(self, tx: Transaction, account_id: int) -> Totals:
        """Return the sums over the runs that have ended, and the one that is running."""
        ended: dict[str, int] = {}
        idle, seconds, sums = 0, 0.0, dict.fromkeys(COUNTS, 0)
        for row in tx.connection.execute(
            select(run_totals).where(run_totals.c.account_id == account_id)
        ).mappings():
            ended[row["status"]] = row["runs"]
            idle += row["idle"]
            seconds += row["seconds"]
            for name in COUNTS:
                sums[name] += row[name]
        calls: dict[str, int] = {}
        failed: dict[tuple[str, str], int] = {}
        for cgi_path, error, number in tx.connection.execute(
            select(call_totals.c.cgi_path, call_totals.c.error, call_totals.c.calls).where(
                call_totals.c.account_id == account_id
            )
        ):
            if error:
                failed[cgi_path, error] = number
            else:
                calls[cgi_path] = number
        running = tx.connection.execute(
            select(runs_table.c.id, *(runs_table.c[name] for name in COUNTS)).where(
                runs_table.c.account_id == account_id, runs_table.c.status == "running"
            )
        ).one_or_none()
        if running is not None:
            for name in COUNTS:
                sums[name] += getattr(running, name)
            for cgi_path, number in tx.connection.execute(
                select(api_calls.c.cgi_path, api_calls.c.calls).where(
                    api_calls.c.run_id == running.id
                )
            ):
                calls[cgi_path] = calls.get(cgi_path, 0) + number
            for cgi_path, error, number in tx.connection.execute(
                select(api_errors.c.cgi_path, api_errors.c.error, api_errors.c.calls).where(
                    api_errors.c.run_id == running.id
                )
            ):
                failed[cgi_path, error] = failed.get((cgi_path, error), 0) + number
        return Totals(
            ended=ended,
            idle=idle,
            seconds=seconds,
            counts=sums,
            calls=calls,
            failed=[Failed(*key, number) for key, number in sorted(failed.items())],
        )
