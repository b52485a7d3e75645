"""Deletes what is recorded of runs and sweeps of long ago, a few at a time.

What a later run, `status` or a view still needs of them stays, however old: see `_needed_runs` and
`_needed_sweeps`. What runs have done together is in the totals, which this leaves alone.
"""

from datetime import UTC, datetime, time, timedelta

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select

from syncjob.database.clock import DatabaseClock
from syncjob.database.tables import (
    IS_ANSWERED,
    IS_NOT_IDLE,
    api_calls,
    api_errors,
    runs,
    sweeps,
    unfollow_candidates,
)
from syncjob.model import CHINA, quota_day

# Rows of a table that one transaction looks at: the oldest ones.
STEP = 200


def prune(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    keep: timedelta,
    failures: int,
    discarded: int,
) -> int:
    """Delete some of the account's runs and sweeps that ended longer ago than `keep`.

    Returns how many; 0 when there is nothing left to delete. `failures` runs and `discarded` sweeps
    in a row are what the job looks at.
    """
    now = connection.execute(select(clock.now())).scalar_one()
    try:
        before = now - keep
    except OverflowError:
        return 0
    # The calls of today, of which WeChat allows so many, are of runs that were there today.
    today = datetime.combine(quota_day(now), time(), CHINA).astimezone(UTC)
    return _prune_runs(connection, account_id, min(before, today), failures) + _prune_sweeps(
        connection, account_id, now, before, discarded
    )


def _prune_runs(connection: Connection, account_id: int, before: datetime, failures: int) -> int:
    ids = _oldest(connection, runs, account_id, before)
    if ids:
        needed = _needed_runs(connection, account_id, failures)
        ids = [run_id for run_id in ids if run_id not in needed]
    if ids:
        for table in (api_calls, api_errors):
            connection.execute(delete(table).where(table.c.run_id.in_(ids)))
        connection.execute(delete(runs).where(runs.c.id.in_(ids)))
    return len(ids)


def _needed_runs(connection: Connection, account_id: int, failures: int) -> set[int]:
    """Return the last run, the last that WeChat answered, and the failures in a row since."""
    of_account = runs.c.account_id == account_id
    newest = connection.scalar(select(func.max(runs.c.id)).where(of_account))
    success = connection.scalar(
        select(runs.c.id)
        .where(of_account, IS_ANSWERED)
        .order_by(runs.c.finished_at.desc())
        .limit(1)
    )
    asking = connection.scalars(
        select(runs.c.id)
        .where(of_account, IS_NOT_IDLE)
        .order_by(runs.c.id.desc())
        .limit(max(failures, 1))
    )
    row = {run_id for run_id in asking if success is None or run_id > success}
    return {run_id for run_id in (newest, success) if run_id is not None} | row


def _prune_sweeps(
    connection: Connection, account_id: int, now: datetime, before: datetime, discarded: int
) -> int:
    ids = [
        sweep_id
        for status in ("sealed", "discarded")
        for sweep_id in _oldest(connection, sweeps, account_id, before, sweeps.c.status == status)
    ]
    if ids:
        needed = _needed_sweeps(connection, account_id, now, discarded)
        ids = [sweep_id for sweep_id in ids if sweep_id not in needed]
    if ids:
        connection.execute(delete(sweeps).where(sweeps.c.id.in_(ids)))
    return len(ids)


def _needed_sweeps(
    connection: Connection, account_id: int, now: datetime, discarded: int
) -> set[int]:
    """Return the first and the last sealed sweep, the newest, and those with candidates."""
    of_account = sweeps.c.account_id == account_id
    sealed = select(sweeps.c.id).where(of_account, sweeps.c.status == "sealed")
    newest = select(sweeps.c.id).where(of_account).order_by(sweeps.c.id.desc())
    needed = (
        # From the end of the first one on the account's history is complete.
        sealed.order_by(sweeps.c.finished_at).limit(1),
        sealed.order_by(sweeps.c.id.desc()).limit(1),
        # One from the future, of before a clock was set back, does not bound a period.
        sealed.where(sweeps.c.started_at <= now).order_by(sweeps.c.id.desc()).limit(1),
        newest.limit(discarded),
        # Whose total says how long the list is known to be.
        newest.where(sweeps.c.total_last.is_not(None)).limit(1),
        select(unfollow_candidates.c.sweep_id)
        .where(unfollow_candidates.c.account_id == account_id)
        .distinct(),
    )
    return {sweep_id for statement in needed for sweep_id in connection.scalars(statement)}


def _oldest(
    connection: Connection,
    table: Table,
    account_id: int,
    before: datetime,
    *conditions: ColumnElement[bool],
) -> list[int]:
    """Return which of the table's first rows ended before that moment."""
    first = (
        select(table.c.id, table.c.finished_at)
        .where(table.c.account_id == account_id, *conditions)
        .order_by(table.c.id)
        .limit(STEP)
        .subquery("first")
    )
    return list(connection.scalars(select(first.c.id).where(first.c.finished_at < before)))
