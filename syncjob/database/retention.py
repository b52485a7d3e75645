"""Retention: deletes runs and sweeps that ended long ago, a few at a time.

Rows that a later run, `status` or a view still needs stay, however old: see `_needed_runs` and
`_needed_sweeps`. The totals of all runs are kept elsewhere, and not touched.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from sqlalchemy import ColumnElement, Table, delete, func, select

from syncjob.database.tables import (
    IS_ANSWERED,
    IS_NOT_IDLE,
    api_calls,
    api_errors,
    run_counts,
    runs,
    sweeps,
    unfollow_candidates,
)
from syncjob.database.transactions import Database, Transaction, writes
from syncjob.model.quota import CHINA, quota_day

# How many of the oldest rows of a table one transaction looks at.
STEP = 200


@dataclass
class Retention:
    """Deletes old rows of an account."""

    database: Database

    @writes
    def prune(
        self, tx: Transaction, account_id: int, *, keep: timedelta, failures: int, discarded: int
    ) -> int:
        """Delete some of the runs and sweeps that ended longer ago than `keep`; return how many.

        0 when there is nothing left to delete. What the job, `status` or a view needs of them
        stays, such as the last `failures` runs and the last `discarded` sweeps.
        """
        now = tx.get_now()
        try:
            before = now - keep
        except OverflowError:
            return 0
        # Calls of today count against the quota; their runs were there today.
        today = datetime.combine(quota_day(now), time(), CHINA).astimezone(UTC)
        runs = _prune_runs(tx, account_id, min(before, today), failures)
        return runs + _prune_sweeps(tx, account_id, now, before, discarded)


def _prune_runs(tx: Transaction, account_id: int, before: datetime, failures: int) -> int:
    ids = _oldest(tx, runs, account_id, before)
    if ids:
        needed = _needed_runs(tx, account_id, failures)
        ids = [run_id for run_id in ids if run_id not in needed]
    if ids:
        for table in (api_calls, api_errors, run_counts):
            tx.connection.execute(delete(table).where(table.c.run_id.in_(ids)))
        tx.connection.execute(delete(runs).where(runs.c.id.in_(ids)))
    return len(ids)


def _needed_runs(tx: Transaction, account_id: int, failures: int) -> set[int]:
    """Return the ids of the last run, the last answered one, and the failures in a row since."""
    of_account = runs.c.account_id == account_id
    newest = tx.connection.scalar(select(func.max(runs.c.id)).where(of_account))
    success = tx.connection.scalar(
        select(runs.c.id)
        .where(of_account, IS_ANSWERED)
        .order_by(runs.c.finished_at.desc())
        .limit(1)
    )
    asking = tx.connection.scalars(
        select(runs.c.id)
        .where(of_account, IS_NOT_IDLE)
        .order_by(runs.c.id.desc())
        .limit(max(failures, 1))
    )
    row = {run_id for run_id in asking if success is None or run_id > success}
    return {run_id for run_id in (newest, success) if run_id is not None} | row


def _prune_sweeps(
    tx: Transaction, account_id: int, now: datetime, before: datetime, discarded: int
) -> int:
    ids = [
        sweep_id
        for status in ("sealed", "discarded")
        for sweep_id in _oldest(tx, sweeps, account_id, before, sweeps.c.status == status)
    ]
    if ids:
        needed = _needed_sweeps(tx, account_id, now, discarded)
        ids = [sweep_id for sweep_id in ids if sweep_id not in needed]
    if ids:
        tx.connection.execute(delete(sweeps).where(sweeps.c.id.in_(ids)))
    return len(ids)


def _needed_sweeps(tx: Transaction, account_id: int, now: datetime, discarded: int) -> set[int]:
    """Return the ids of the first and last sealed sweep, the newest, and those with candidates."""
    of_account = sweeps.c.account_id == account_id
    sealed = select(sweeps.c.id).where(of_account, sweeps.c.status == "sealed")
    newest = select(sweeps.c.id).where(of_account).order_by(sweeps.c.id.desc())
    needed = (
        # The account's history is complete from the end of the first one on.
        sealed.order_by(sweeps.c.finished_at).limit(1),
        sealed.order_by(sweeps.c.id.desc()).limit(1),
        # A sweep in the future is from before a clock was set back, and bounds no period.
        sealed.where(sweeps.c.started_at <= now).order_by(sweeps.c.id.desc()).limit(1),
        newest.limit(discarded),
        # Its total says how long the list is known to be.
        newest.where(sweeps.c.total_last.is_not(None)).limit(1),
        select(unfollow_candidates.c.sweep_id)
        .where(unfollow_candidates.c.account_id == account_id)
        .distinct(),
    )
    return {sweep_id for statement in needed for sweep_id in tx.connection.scalars(statement)}


def _oldest(
    tx: Transaction,
    table: Table,
    account_id: int,
    before: datetime,
    *conditions: ColumnElement[bool],
) -> list[int]:
    """Return the ids of the table's oldest rows that ended before that moment."""
    first = (
        select(table.c.id, table.c.finished_at)
        .where(table.c.account_id == account_id, *conditions)
        .order_by(table.c.id)
        .limit(STEP)
        .subquery("first")
    )
    return list(tx.connection.scalars(select(first.c.id).where(first.c.finished_at < before)))
