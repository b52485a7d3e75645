"""Statements that add up all runs of an account, for metrics."""

from sqlalchemy import Connection, func, select

from syncjob.database.tables import api_calls, api_errors, runs
from syncjob.model import Failed, Totals

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


def get(connection: Connection, account_id: int) -> Totals:
    """Add up what is recorded of the account's runs; none of it ever falls."""
    of_account = runs.c.account_id == account_id
    ended: dict[str, int] = {}
    counts = dict.fromkeys(COUNTS, 0)
    sums = [func.coalesce(func.sum(runs.c[name]), 0) for name in COUNTS]
    for status, number, *added in connection.execute(
        select(runs.c.status, func.count(), *sums).where(of_account).group_by(runs.c.status)
    ):
        if status != "running":
            ended[status] = int(number)
        for name, value in zip(COUNTS, added, strict=True):
            counts[name] += int(value)
    calls = connection.execute(
        select(api_calls.c.cgi_path, func.sum(api_calls.c.calls))
        .join(runs, runs.c.id == api_calls.c.run_id)
        .where(of_account)
        .group_by(api_calls.c.cgi_path)
    )
    failed = connection.execute(
        select(api_errors.c.cgi_path, api_errors.c.error, func.sum(api_errors.c.calls))
        .join(runs, runs.c.id == api_errors.c.run_id)
        .where(of_account)
        .group_by(api_errors.c.cgi_path, api_errors.c.error)
        .order_by(api_errors.c.cgi_path, api_errors.c.error)
    )
    return Totals(
        ended=ended,
        seconds=_seconds(connection, account_id),
        counts=counts,
        calls={cgi_path: int(number) for cgi_path, number in calls},
        failed=[Failed(cgi_path, error, int(number)) for cgi_path, error, number in failed],
    )


def _seconds(connection: Connection, account_id: int) -> float:
    """Add up how long the ended runs took; in SQL neither database does it as the other."""
    is_sqlite = connection.dialect.name == "sqlite"
    begun, ended = runs.c.started_at, runs.c.finished_at
    span = (
        (func.julianday(ended) - func.julianday(begun)) * 86_400
        if is_sqlite
        else func.extract("epoch", ended - begun)
    )
    total = connection.scalar(
        select(func.sum(span)).where(runs.c.account_id == account_id, ended.is_not(None))
    )
    return max(0.0, float(total or 0))
