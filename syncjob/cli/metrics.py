"""Prometheus metrics: printed by a command, or written to a file at the end of a run.

A job that ends cannot be scraped, so the file is for the node exporter's textfile collector.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncjob.cli.account import open_account
from syncjob.cli.options import Command, settings_of
from syncjob.config.extras import require_prometheus_client
from syncjob.errors import DatabaseError, SyncjobError, in_one_line
from syncjob.files import atomic_write

if TYPE_CHECKING:
    from syncjob.database.store import Store
    from syncjob.model.accounts import Account

logger = logging.getLogger(__name__)


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  syncjob metrics | grep last_success""",
)
@click.pass_context
def metrics(context: click.Context) -> None:
    """Print what is in the database as Prometheus metrics.

    A run writes the same to SYNCJOB_METRICS_FILE at its end. Asks WeChat nothing.
    """
    require_prometheus_client("syncjob metrics")
    every = settings_of(context).sweep_every()
    with open_account(context) as (store, account):
        if account is None:
            click.echo("No run yet. Start with: syncjob sync", err=True)
            return
        click.echo(_text(store, account, every), nl=False)


@contextmanager
def writing_metrics(
    path: Path | None, store: "Store", account: "Account", every: timedelta | None
) -> Iterator[None]:
    """Write the metrics to the file, if one is named, at the end of the block, however it ends.

    Not if the database has failed: that would only wait for it once more.
    """
    try:
        yield
    except DatabaseError:
        path = None
        raise
    finally:
        if path is not None:
            _write(path, store, account, every)


def _write(path: Path, store: "Store", account: "Account", every: timedelta | None) -> None:
    """Replace the file by the current metrics; log an error instead of raising it."""
    try:
        # The collector is another user.
        with atomic_write(path, mode=0o644) as file:
            file.write(_text(store, account, every))
    except (OSError, SyncjobError) as error:
        reason = in_one_line(error)
        if isinstance(error, OSError):
            reason = (
                f"{error.strerror}; may this user write there, and does ReadWritePaths= name it?"
            )
        logger.warning("The metrics could not be written. file=%s reason=%s", path, reason)


def _text(store: "Store", account: "Account", every: timedelta | None) -> str:
    """Return the metrics in Prometheus' text format, always in the same order.

    `every` is SYNCJOB_SWEEP_EVERY.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    from syncjob.cli.account_metrics import AccountMetrics
    from syncjob.job.timing import next_sweep_at

    registry = CollectorRegistry()
    now = store.accounts.get(account.appid) or account  # a run may have parked since
    at = next_sweep_at(store, now, every)
    registry.register(
        AccountMetrics(store.reports.get_status(now), store.reports.get_totals(now.id), at)
    )
    return generate_latest(registry).decode("utf-8")
