"""Quotas: how many calls runs have sent, and what WeChat says is left of each endpoint's day."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    func,
    or_,
    select,
    update,
)

from syncjob.database.dialects.base import Dialect
from syncjob.database.tables import api_calls, api_errors, quotas, runs, sweeps
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.model.quota import QuotaInfo, QuotaState, QuotaUse, quota_day
from syncjob.model.runs import Traffic

FEW = 100  # run ids that an IN lists one by one


@dataclass
class Quotas:
    """The quota day of each endpoint, by account."""

    database: Database

    @reads
    def get(self, tx: Transaction, account_id: int, cgi_path: str) -> QuotaState:
        """Return what is known of an endpoint's quota day."""
        today = _today(tx)
        exhausted_at = tx.connection.scalar(
            select(quotas.c.exhausted_at).where(*_is(account_id, cgi_path))
        )
        total = tx.connection.scalar(
            select(sweeps.c.total_last)
            .where(sweeps.c.account_id == account_id, sweeps.c.total_last.is_not(None))
            .order_by(sweeps.c.id.desc())
            .limit(1)
        )
        of_this = _calls_on(account_id, today).where(api_calls.c.cgi_path == cgi_path)
        calls: Any = tx.connection.scalar(of_this)
        exhausted = exhausted_at is not None and quota_day(exhausted_at) == today
        return QuotaState(int(calls), exhausted, total)

    @writes
    def save(self, tx: Transaction, account_id: int, cgi_path: str, reported: QuotaInfo) -> None:
        """Store what WeChat says of an endpoint's day; with calls left it is not exhausted."""
        values = {
            "daily_limit": reported.daily_limit,
            "used": reported.used,
            "told_at": tx.clock.now(),
        }
        if reported.remain:
            values["exhausted_at"] = None
        _save(tx, account_id, cgi_path, values)

    @reads
    def get_uses(self, tx: Transaction, account_id: int) -> list[QuotaUse]:
        """Return each endpoint that was called today or that WeChat has reported on, by name."""
        return find_uses(tx, account_id)

    @writes
    def forget_exhausted(self, tx: Transaction, account_id: int) -> int:
        """Forget which quotas WeChat has said are used up; return how many."""
        forgotten = update(quotas).where(
            quotas.c.account_id == account_id, quotas.c.exhausted_at.is_not(None)
        )
        return tx.connection.execute(forgotten.values(exhausted_at=None)).rowcount


def count(tx: Transaction, run_id: int, traffic: Traffic) -> None:
    """Record how many calls a run has sent until now; a recorded count never falls."""
    for table, counted in ((api_calls, traffic.spent), (api_errors, traffic.failed)):
        if counted:
            rows = [{"run_id": run_id, **asdict(one)} for one in counted]
            tx.connection.execute(_count_statement(tx.dialect, table), rows)


@lru_cache(maxsize=8)  # it is executed with each page and group
def _count_statement(dialect: Dialect, table: Table) -> Any:
    statement = dialect.insert(table)
    calls = dialect.proposed(statement).calls
    return dialect.or_update(
        statement,
        table.primary_key.columns,
        {"calls": calls},
        # Of two threads that write, the slower one has counted fewer.
        where=calls > table.c.calls,
    )


def exhaust(tx: Transaction, account_id: int, cgi_path: str) -> None:
    """Remember that WeChat has just said that an endpoint's quota is used up."""
    _save(tx, account_id, cgi_path, {"exhausted_at": tx.clock.now()})


def find_calls(tx: Transaction, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return how many calls each of the runs has sent, by endpoint."""
    found: dict[int, dict[str, int]] = {run_id: {} for run_id in run_ids}
    those = api_calls.c.run_id.in_(run_ids)
    if len(run_ids) > FEW:
        # A long history has more runs than a statement takes parameters.
        those = api_calls.c.run_id.between(min(run_ids), max(run_ids))
    statement = (
        select(api_calls.c.run_id, api_calls.c.cgi_path, func.sum(api_calls.c.calls))
        .where(those)
        .group_by(api_calls.c.run_id, api_calls.c.cgi_path)
    )
    for run_id, cgi_path, calls in tx.connection.execute(statement):
        if run_id in found:
            found[run_id][cgi_path] = int(calls)
    return found


def find_uses(tx: Transaction, account_id: int) -> list[QuotaUse]:
    """Return each endpoint that was called today or that WeChat has reported on, by name."""
    today = _today(tx)
    by_path = _calls_on(account_id, today).add_columns(api_calls.c.cgi_path)
    counted = tx.connection.execute(by_path.group_by(api_calls.c.cgi_path))
    calls = {cgi_path: int(number) for number, cgi_path in counted}
    reported = {
        row.cgi_path: row
        for row in tx.connection.execute(select(quotas).where(quotas.c.account_id == account_id))
    }
    # A run asks for a quota before its first call of the endpoint: all calls of it and of the
    # runs after it came later.
    later = by_path.join(quotas, _is_reported()).where(
        or_(runs.c.finished_at.is_(None), runs.c.finished_at >= quotas.c.told_at)
    )
    since = {
        cgi_path: int(number)
        for number, cgi_path in tx.connection.execute(later.group_by(api_calls.c.cgi_path))
    }
    found = []
    for cgi_path in sorted(calls.keys() | reported.keys()):
        row = reported.get(cgi_path)
        found.append(
            QuotaUse.known(
                cgi_path,
                calls=calls.get(cgi_path, 0),
                since=since.get(cgi_path, 0),
                daily_limit=row.daily_limit if row else None,
                reported=row.used if row else None,
                told_at=row.told_at if row else None,
                exhausted_at=row.exhausted_at if row else None,
                today=today,
            )
        )
    return found


def _calls_on(account_id: int, day: date) -> Select[tuple[int]]:
    """Return the SELECT of the calls that the account's runs have sent on a day."""
    return (
        select(func.coalesce(func.sum(api_calls.c.calls), 0))
        .join(runs, runs.c.id == api_calls.c.run_id)
        .where(runs.c.account_id == account_id, api_calls.c.day == day)
    )


def _save(tx: Transaction, account_id: int, cgi_path: str, values: dict[str, object]) -> None:
    statement = tx.dialect.insert(quotas).values(account_id=account_id, cgi_path=cgi_path, **values)
    proposed = tx.dialect.proposed(statement)
    updated = {name: proposed[name] for name in values}
    tx.connection.execute(tx.dialect.or_update(statement, ["account_id", "cgi_path"], updated))


def _is(account_id: int, cgi_path: str) -> tuple[ColumnElement[bool], ...]:
    return quotas.c.account_id == account_id, quotas.c.cgi_path == cgi_path


def _is_reported() -> ColumnElement[bool]:
    """Return the condition that joins calls with what WeChat reported on their endpoint."""
    return and_(quotas.c.account_id == runs.c.account_id, quotas.c.cgi_path == api_calls.c.cgi_path)


def _today(tx: Transaction) -> date:
    return quota_day(tx.get_now())
