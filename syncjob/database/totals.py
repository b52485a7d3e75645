"""What all runs of an account have done together, for metrics.

A run that has ended is added once, in the transaction that ends it; so the sums outlive its row.
"""

from typing import Any

from sqlalchemy import Connection, func, literal, select

from syncjob.database.dialects import insert
from syncjob.database.tables import api_calls, api_errors, call_totals, run_totals, runs
from syncjob.model import Failed, Run, Totals

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


def add(connection: Connection, run: Run) -> None:
    """Add a run that has just ended, and its calls."""
    ended_at = run.finished_at or run.started_at
    values = {
        "runs": 1,
        "idle": int(run.idle),
        # A clock that was set back takes nothing off.
        "seconds": max(0.0, (ended_at - run.started_at).total_seconds()),
        **{name: getattr(run, name) for name in COUNTS},
    }
    statement = insert(connection.dialect)(run_totals).values(
        account_id=run.account_id, status=run.status, **values
    )
    connection.execute(_adding(statement, run_totals, values))
    if not run.calls:
        return
    for table, error in ((api_calls, literal("")), (api_errors, api_errors.c.error)):
        calls = (
            select(literal(run.account_id), table.c.cgi_path, error, func.sum(table.c.calls))
            .where(table.c.run_id == run.id)
            .group_by(table.c.cgi_path, *([] if table is api_calls else [error]))
        )
        statement = insert(connection.dialect)(call_totals).from_select(
            ["account_id", "cgi_path", "error", "calls"], calls
        )
        connection.execute(_adding(statement, call_totals, ["calls"]))


def _adding(statement: Any, table: Any, names: Any) -> Any:
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: table.c[name] + statement.excluded[name] for name in names},
    )


def get(connection: Connection, account_id: int) -> Totals:
    """Return the sums of the runs that have ended, and of the one that is running."""
    ended: dict[str, int] = {}
    idle, seconds, counts = 0, 0.0, dict.fromkeys(COUNTS, 0)
    for row in connection.execute(
        select(run_totals).where(run_totals.c.account_id == account_id)
    ).mappings():
        ended[row["status"]] = row["runs"]
        idle += row["idle"]
        seconds += row["seconds"]
        for name in COUNTS:
            counts[name] += row[name]
    calls: dict[str, int] = {}
    failed: dict[tuple[str, str], int] = {}
    for cgi_path, error, number in connection.execute(
        select(call_totals.c.cgi_path, call_totals.c.error, call_totals.c.calls).where(
            call_totals.c.account_id == account_id
        )
    ):
        if error:
            failed[cgi_path, error] = number
        else:
            calls[cgi_path] = number
    running = connection.execute(
        select(runs.c.id, *(runs.c[name] for name in COUNTS)).where(
            runs.c.account_id == account_id, runs.c.status == "running"
        )
    ).one_or_none()
    if running is not None:
        for name in COUNTS:
            counts[name] += getattr(running, name)
        for cgi_path, number in connection.execute(
            select(api_calls.c.cgi_path, api_calls.c.calls).where(api_calls.c.run_id == running.id)
        ):
            calls[cgi_path] = calls.get(cgi_path, 0) + number
        for cgi_path, error, number in connection.execute(
            select(api_errors.c.cgi_path, api_errors.c.error, api_errors.c.calls).where(
                api_errors.c.run_id == running.id
            )
        ):
            failed[cgi_path, error] = failed.get((cgi_path, error), 0) + number
    return Totals(
        ended=ended,
        idle=idle,
        seconds=seconds,
        counts=counts,
        calls=calls,
        failed=[Failed(*key, number) for key, number in sorted(failed.items())],
    )
