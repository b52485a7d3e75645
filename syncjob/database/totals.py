"""Sums over all runs of an account, for metrics.

A run is added once, in the transaction that ends it; so the sums outlive its row.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Table, func, literal, select

from syncjob.database.dialects.base import Dialect
from syncjob.database.tables import api_calls, api_errors, call_totals, run_totals
from syncjob.database.transactions import Transaction
from syncjob.model.runs import Run

COUNTS = (
    "pages",
    "openids",
    "new",
    "returned",
    "enriched",
    "skipped",
    "unfollowed",
    "lagging",
    "retries",
)


def add(tx: Transaction, run: Run) -> None:
    """Add a run that has just ended, and its calls."""
    ended_at = run.finished_at or run.started_at
    values = {
        "runs": 1,
        "idle": int(run.idle),
        # A clock that was set back subtracts nothing.
        "seconds": max(0.0, (ended_at - run.started_at).total_seconds()),
        **{name: getattr(run, name) for name in COUNTS},
    }
    statement = tx.dialect.insert(run_totals).values(
        account_id=run.account_id, status=run.status, **values
    )
    tx.connection.execute(_adding(tx.dialect, statement, run_totals, values))
    if not run.calls:
        return
    for table, error in ((api_calls, literal("")), (api_errors, api_errors.c.error)):
        calls = (
            select(literal(run.account_id), table.c.cgi_path, error, func.sum(table.c.calls))
            .where(table.c.run_id == run.id)
            .group_by(table.c.cgi_path, *([] if table is api_calls else [error]))
        )
        statement = tx.dialect.insert(call_totals).from_select(
            ["account_id", "cgi_path", "error", "calls"], calls
        )
        tx.connection.execute(_adding(tx.dialect, statement, call_totals, ["calls"]))


def _adding(dialect: Dialect, statement: Any, table: Table, names: Iterable[str]) -> Any:
    """Have the INSERT add these columns to a row that is there already."""
    proposed = dialect.proposed(statement)
    sums = {name: table.c[name] + proposed[name] for name in names}
    return dialect.or_update(statement, table.primary_key.columns, sums)
