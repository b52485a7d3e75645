"""Statements on runs. Each runs inside a transaction that the store opens."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from syncjob.database import counts, quotas, totals
from syncjob.database.clock import DatabaseClock
from syncjob.database.column_types import ID
from syncjob.database.tables import IS_ANSWERED, IS_NOT_IDLE, runs
from syncjob.errors import RunInProgress, RunLost
from syncjob.model import Command, Run, RunStatus, Traffic

COLUMNS = [runs.c[name] for name in Run.__slots__]


def start(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    command: Command,
    holder: str,
    abandon_after: timedelta,
    is_dead: Callable[[str], bool],
) -> Run:
    """Insert a running run, after declaring abandoned one that is dead or silent for too long.

    Raises RunInProgress while another one is alive. That there is at most one is the work of a
    unique index, so that of two who start at once one fails here.
    """
    other = get_running(connection, account_id)
    if other is not None:
        silent = or_(
            runs.c.heartbeat_at < clock.now(-abandon_after),
            # Only a clock that was set back since leaves a heartbeat in the future.
            runs.c.heartbeat_at > clock.now(abandon_after),
        )
        dead = other.holder is not None and is_dead(other.holder)
        abandoned = connection.execute(
            update(runs)
            .where(runs.c.id == other.id, runs.c.status == "running", *([] if dead else [silent]))
            .values(
                status="abandoned",
                finished_at=clock.now(),
                message="its process died" if dead else "it gave no heartbeat any more",
            )
        )
        if abandoned.rowcount == 1:
            totals.add(connection, _one(connection, runs.c.id == other.id))
    try:
        run_id = connection.scalar(
            insert(runs)
            .values(
                account_id=account_id,
                command=command,
                status="running",
                started_at=clock.now(),
                heartbeat_at=clock.now(),
                holder=holder,
            )
            .returning(runs.c.id)
        )
    except IntegrityError:
        which = f"run {other.id} since {other.started_at:%Y-%m-%d %H:%M} UTC" if other else "one"
        raise RunInProgress(
            f"another run of this account is at work ({which}); nothing was touched, "
            "try again later"
        ) from None
    return _one(connection, runs.c.id == run_id)


def advance(
    connection: Connection,
    clock: DatabaseClock,
    run_id: int,
    traffic: Traffic | None = None,
    **added: int,
) -> None:
    """Add to the run's counts and renew its heartbeat; raise RunLost if it is not running any more.

    The last statement of every transaction of a run: when it raises, the transaction is undone, so
    that a run that was declared abandoned writes nothing more.
    """
    values: dict[str, Any] = {"run": run_id, **{f"more_{name}": n for name, n in added.items()}}
    if traffic is not None:
        quotas.count(connection, run_id, traffic)
        values |= {"all_calls": traffic.calls, "all_retries": traffic.retries}
    statement = _advance_statement(clock, tuple(added), traffic is not None)
    _, now = clock.parameter()
    if connection.execute(statement, {**values, **now}).rowcount != 1:
        raise _lost(run_id)


@lru_cache(maxsize=32)  # it is executed with each page and group
def _advance_statement(clock: DatabaseClock, added: tuple[str, ...], has_traffic: bool) -> Any:
    values: dict[str, Any] = {
        name: runs.c[name] + bindparam(f"more_{name}", type_=BigInteger) for name in added
    }
    if has_traffic:
        values |= {"calls": bindparam("all_calls"), "retries": bindparam("all_retries")}
    now, _ = clock.parameter()
    statement = update(runs).where(
        runs.c.id == bindparam("run", type_=ID), runs.c.status == "running"
    )
    return statement.values(heartbeat_at=now, **values)


def finish(
    connection: Connection,
    clock: DatabaseClock,
    run_id: int,
    status: RunStatus,
    traffic: Traffic,
    errcode: int | None = None,
    message: str | None = None,
    rid: str | None = None,
    exit_code: int | None = None,
) -> Run:
    """End the run; raise RunLost if another one has declared it abandoned."""
    quotas.count(connection, run_id, traffic)
    account_id = connection.execute(
        select(runs.c.account_id).where(runs.c.id == run_id)
    ).scalar_one()
    counted = counts.get_at_end(connection, account_id, status, exit_code)
    statement = (
        update(runs)
        .where(runs.c.id == run_id, runs.c.status == "running")
        .values(
            followers=None if counted is None else counted.followers,
            subscribed=None if counted is None else counted.subscribed,
            status=status,
            heartbeat_at=clock.now(),
            finished_at=clock.now(),
            calls=traffic.calls,
            retries=traffic.retries,
            errcode=errcode,
            message=message,
            rid=rid,
            exit_code=exit_code,
        )
    )
    if connection.execute(statement).rowcount != 1:
        raise _lost(run_id)
    run = _one(connection, runs.c.id == run_id)
    totals.add(connection, run)
    return run


def get_running(connection: Connection, account_id: int) -> Run | None:
    """Return the account's running run, if there is one."""
    row = connection.execute(
        select(*COLUMNS).where(runs.c.account_id == account_id, runs.c.status == "running")
    ).one_or_none()
    return None if row is None else Run(*row)


def get_latest(connection: Connection, account_id: int, *conditions: Any, limit: int) -> list[Run]:
    """Return the account's newest runs first."""
    rows = connection.execute(
        select(*COLUMNS)
        .where(runs.c.account_id == account_id, *conditions)
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    return [Run(*row) for row in rows]


def get_shown(
    connection: Connection,
    account_id: int,
    limit: int,
    idle: bool,
    statuses: Collection[RunStatus] | None,
) -> list[Run]:
    """Return the newest runs first; only those of these statuses, or without the idle ones."""
    conditions: list[Any] = [] if idle else [IS_NOT_IDLE]
    if statuses is not None:
        conditions.append(runs.c.status.in_(statuses))
    return get_latest(connection, account_id, *conditions, limit=limit)


def count_idle(connection: Connection, account_id: int, behind: int) -> int:
    """Count the account's idle runs that began after the run `behind`."""
    count: int = connection.execute(
        select(func.count()).where(
            runs.c.account_id == account_id, runs.c.id > behind, not_(IS_NOT_IDLE)
        )
    ).scalar_one()
    return count


def get_failing_cause(connection: Connection, account_id: int, in_a_row: int) -> int | None:
    """Return the errcode with which each of the last `in_a_row` ended runs failed, if it is one.

    Idle runs have not met it, and say nothing.
    """
    ended = get_latest(
        connection, account_id, runs.c.status != "running", IS_NOT_IDLE, limit=in_a_row
    )
    causes = {run.errcode if run.status == "failed" else None for run in ended}
    return causes.pop() if len(ended) == in_a_row and len(causes) == 1 else None


def get_last_success_at(connection: Connection, account_id: int) -> datetime | None:
    """Return when a run of the account that WeChat answered last succeeded, None if none has."""
    found: datetime | None = connection.scalar(
        select(func.max(runs.c.finished_at)).where(runs.c.account_id == account_id, IS_ANSWERED)
    )
    return found


def get_last(connection: Connection, account_id: int) -> Run | None:
    """Return the account's newest run that has ended."""
    ended = get_latest(connection, account_id, runs.c.status != "running", limit=1)
    return ended[0] if ended else None


def get_last_asking(connection: Connection, account_id: int) -> Run | None:
    """Return the account's newest run that has ended and was not idle."""
    ended = get_latest(connection, account_id, runs.c.status != "running", IS_NOT_IDLE, limit=1)
    return ended[0] if ended else None


def _one(connection: Connection, condition: Any) -> Run:
    return Run(*connection.execute(select(*COLUMNS).where(condition)).one())


def _lost(run_id: int) -> RunLost:
    return RunLost(
        f"run {run_id} was declared abandoned by another run, which goes on in its place; "
        "this one has written nothing since"
    )
