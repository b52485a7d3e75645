"""Runs: their start, heartbeat, counts and end."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from syncjob.database import counts, quotas, totals
from syncjob.database.clock import DatabaseClock
from syncjob.database.column_types import ID
from syncjob.database.dialects.base import Dialect
from syncjob.database.tables import IS_ANSWERED, IS_NOT_IDLE, run_counts, runs
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.errors import RunInProgress, RunLost
from syncjob.model.runs import Command, Run, RunStatus, Traffic

COLUMNS = [runs.c[name] for name in Run.__slots__]


@dataclass
class Runs:
    """The runs of each account."""

    database: Database

    @writes
    def start(
        self,
        tx: Transaction,
        account_id: int,
        command: Command,
        *,
        holder: str,
        abandon_after: timedelta,
        is_dead: Callable[[str], bool] = lambda holder: False,
    ) -> Run:
        """Start a run of the account; raise RunInProgress while another one is alive.

        One whose `holder` is known to be dead, or whose heartbeat is older than `abandon_after`,
        is declared abandoned in the same transaction. That at most one is running is held by a
        unique index: of two that start at once, one fails here.
        """
        other = find_running(tx, account_id)
        if other is not None:
            _abandon(tx, other, abandon_after, is_dead)
        try:
            run_id = tx.connection.scalar(
                insert(runs)
                .values(
                    account_id=account_id,
                    command=command,
                    status="running",
                    started_at=tx.clock.now(),
                    heartbeat_at=tx.clock.now(),
                    holder=holder,
                )
                .returning(runs.c.id)
            )
        except IntegrityError:
            since = (
                f"run {other.id} since {other.started_at:%Y-%m-%d %H:%M} UTC" if other else "one"
            )
            raise RunInProgress(
                f"another run of this account is running ({since}); nothing was touched, "
                "try again later"
            ) from None
        return _one(tx, runs.c.id == run_id)

    @writes
    def beat(self, tx: Transaction, run_id: int) -> None:
        """Renew the run's heartbeat; raise RunLost if it is not running any more."""
        advance(tx, run_id)

    @writes
    def finish(
        self,
        tx: Transaction,
        run_id: int,
        status: RunStatus,
        traffic: Traffic,
        *,
        errcode: int | None = None,
        message: str | None = None,
        rid: str | None = None,
        exit_code: int | None = None,
        exhausted: str | None = None,
    ) -> Run:
        """End the run; raise RunLost if another one has declared it abandoned.

        `exhausted` is the endpoint of which WeChat said that its quota is used up.
        """
        quotas.count(tx, run_id, traffic)
        account_id = tx.connection.execute(
            select(runs.c.account_id).where(runs.c.id == run_id)
        ).scalar_one()
        counted = counts.get_at_end(tx, account_id, status, exit_code)
        statement = (
            update(runs)
            .where(runs.c.id == run_id, runs.c.status == "running")
            .values(
                followers=None if counted is None else counted.followers,
                subscribed=None if counted is None else counted.subscribed,
                status=status,
                heartbeat_at=tx.clock.now(),
                finished_at=tx.clock.now(),
                calls=traffic.calls,
                retries=traffic.retries,
                errcode=errcode,
                message=message,
                rid=rid,
                exit_code=exit_code,
            )
        )
        if tx.connection.execute(statement).rowcount != 1:
            raise _lost(run_id)
        run = _one(tx, runs.c.id == run_id)
        totals.add(tx, run)
        if exhausted is not None:
            quotas.exhaust(tx, account_id, exhausted)
        return run

    @reads
    def get_latest(
        self,
        tx: Transaction,
        account_id: int,
        limit: int,
        *,
        idle: bool = True,
        statuses: Collection[RunStatus] | None = None,
    ) -> list[Run]:
        """Return the newest runs first; only those of these statuses, or without the idle ones."""
        conditions: list[Any] = [] if idle else [IS_NOT_IDLE]
        if statuses is not None:
            conditions.append(runs.c.status.in_(statuses))
        return find_latest(tx, account_id, *conditions, limit=limit)

    @reads
    def count_idle(self, tx: Transaction, account_id: int, *, behind: int) -> int:
        """Return how many idle runs began after the run `behind` (0: all of them)."""
        count: int = tx.connection.execute(
            select(func.count()).where(
                runs.c.account_id == account_id, runs.c.id > behind, not_(IS_NOT_IDLE)
            )
        ).scalar_one()
        return count

    @reads
    def get_calls(self, tx: Transaction, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return how many calls each of these runs has sent, by endpoint."""
        return quotas.find_calls(tx, run_ids)

    @reads
    def get_counts(self, tx: Transaction, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return what the steps of each of these runs have counted, beside the run's columns."""
        return find_counts(tx, run_ids)

    @reads
    def get_failing_cause(self, tx: Transaction, account_id: int, in_a_row: int) -> int | None:
        """Return the errcode with which each of the last `in_a_row` runs failed, if it is one.

        Idle runs do not count: they asked WeChat nothing.
        """
        ended = find_latest(tx, account_id, runs.c.status != "running", IS_NOT_IDLE, limit=in_a_row)
        causes = {run.errcode if run.status == "failed" else None for run in ended}
        return causes.pop() if len(ended) == in_a_row and len(causes) == 1 else None


def advance(
    tx: Transaction,
    run_id: int,
    traffic: Traffic | None = None,
    *,
    step_counts: Mapping[str, int] | None = None,
    **added: int,
) -> None:
    """Add to the run's counts and renew its heartbeat; raise RunLost if it is not running any more.

    `step_counts` are added to `run_counts`. Call it last in every transaction of a run: when it
    raises, the transaction is undone, so that a run that was declared abandoned writes no more.
    """
    counted = (step_counts or {}).items()
    rows = [{"run_id": run_id, "name": name, "count": n} for name, n in counted if n]
    if rows:
        tx.connection.execute(_count_statement(tx.dialect), rows)
    values: dict[str, Any] = {"run": run_id, **{f"more_{name}": n for name, n in added.items()}}
    if traffic is not None:
        quotas.count(tx, run_id, traffic)
        values |= {"all_calls": traffic.calls, "all_retries": traffic.retries}
    statement = _advance_statement(tx.clock, tuple(added), traffic is not None)
    _, now = tx.clock.parameter()
    if tx.connection.execute(statement, {**values, **now}).rowcount != 1:
        raise _lost(run_id)


@lru_cache(maxsize=4)
def _count_statement(dialect: Dialect) -> Any:
    statement = dialect.insert(run_counts)
    total = run_counts.c.count + dialect.proposed(statement)["count"]
    return dialect.or_update(statement, run_counts.primary_key.columns, {"count": total})


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


def find_counts(tx: Transaction, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return what the steps of each of these runs have counted, by name."""
    found: dict[int, dict[str, int]] = {run_id: {} for run_id in run_ids}
    if not run_ids:
        return found
    # A long history has more runs than a statement takes parameters.
    those = run_counts.c.run_id.between(min(run_ids), max(run_ids))
    for run_id, name, count in tx.connection.execute(select(run_counts).where(those)):
        if run_id in found:
            found[run_id][name] = count
    return found


def find_running(tx: Transaction, account_id: int) -> Run | None:
    """Return the account's running run, if there is one."""
    row = tx.connection.execute(
        select(*COLUMNS).where(runs.c.account_id == account_id, runs.c.status == "running")
    ).one_or_none()
    return None if row is None else Run(*row)


def find_latest(tx: Transaction, account_id: int, *conditions: Any, limit: int) -> list[Run]:
    """Return the account's newest runs first."""
    rows = tx.connection.execute(
        select(*COLUMNS)
        .where(runs.c.account_id == account_id, *conditions)
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    return [Run(*row) for row in rows]


def find_last_ended(tx: Transaction, account_id: int, *conditions: Any) -> Run | None:
    """Return the account's newest run that has ended, if there is one."""
    ended = find_latest(tx, account_id, runs.c.status != "running", *conditions, limit=1)
    return ended[0] if ended else None


def find_last_success_at(tx: Transaction, account_id: int) -> datetime | None:
    """Return when a run of the account that WeChat answered last succeeded, None if none has."""
    found: datetime | None = tx.connection.scalar(
        select(func.max(runs.c.finished_at)).where(runs.c.account_id == account_id, IS_ANSWERED)
    )
    return found


def _abandon(
    tx: Transaction, other: Run, abandon_after: timedelta, is_dead: Callable[[str], bool]
) -> None:
    """Declare the running run abandoned, if its process is dead or it is silent for too long."""
    silent = or_(
        runs.c.heartbeat_at < tx.clock.now(-abandon_after),
        # Only a clock that was set back since leaves a heartbeat in the future.
        runs.c.heartbeat_at > tx.clock.now(abandon_after),
    )
    dead = other.holder is not None and is_dead(other.holder)
    abandoned = tx.connection.execute(
        update(runs)
        .where(runs.c.id == other.id, runs.c.status == "running", *([] if dead else [silent]))
        .values(
            status="abandoned",
            finished_at=tx.clock.now(),
            message="its process died" if dead else "it gave no heartbeat any more",
        )
    )
    if abandoned.rowcount == 1:
        totals.add(tx, _one(tx, runs.c.id == other.id))


def _one(tx: Transaction, condition: Any) -> Run:
    return Run(*tx.connection.execute(select(*COLUMNS).where(condition)).one())


def _lost(run_id: int) -> RunLost:
    return RunLost(
        f"run {run_id} was declared abandoned by another run, which goes on in its place; "
        "this one has written nothing since"
    )
