"""The commands that write: migrate, sync, backfill."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncjob.cli.logs import shows_progress
from syncjob.cli.metrics import writing_metrics
from syncjob.cli.notices import sending_notices
from syncjob.cli.options import Command, settings_of
from syncjob.config.extras import require_prometheus_client

if TYPE_CHECKING:
    from syncjob.bootstrap import Job
    from syncjob.cli.report import Report
    from syncjob.config import SettingsReader
    from syncjob.model.runs import Command as JobCommand
    from syncjob.model.runs import Run

_COUNT = click.IntRange(1, 1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of one run."""

    command: "JobCommand"
    max_pages: int | None
    max_batches: int | None
    report: Path | None
    accept_list: bool
    restart: bool = False
    now: bool = False


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that sync and backfill share."""
    report = click.option(
        "--report",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write how the run ended, as a JSON object, to FILE.",
    )
    batches = click.option(
        "--max-batches",
        type=_COUNT,
        metavar="N",
        help="Ask about the people of N batches at most; the next run goes on.",
    )
    pages = click.option(
        "--max-pages",
        type=_COUNT,
        metavar="N",
        help="Read N pages of the list at most; the next run goes on.",
    )
    accept = click.option(
        "--accept-list",
        is_flag=True,
        help="Believe the list even if it shares nobody with the stored followers.",
    )
    return pages(batches(report(accept(command))))


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  SYNCJOB_DATABASE_URL=postgresql://syncjob@db/crm syncjob migrate""",
)
@click.option("--quiet", is_flag=True, help="Say nothing where nothing is to do.")
@click.pass_context
def migrate(context: click.Context, quiet: bool) -> None:
    """Bring the database to the newest schema.

    Creates the tables the first time (and a SQLite file, readable by you alone); safe to repeat.
    Says which database that is; without any setting it is syncjob.db in the current folder.
    """
    reader = settings_of(context)
    settings = reader.database()
    from syncjob.database.schema import migrate as bring_to_newest

    done = bring_to_newest(settings.database_url.reveal(), only_account=settings.only_account)
    if done.before == done.after:
        if quiet:
            return
        click.echo(f"The database is at revision {done.after} already; nothing to do.")
    elif done.before is None:
        click.echo(f"Created the tables, at revision {done.after}.")
    else:
        click.echo(f"Brought the database from revision {done.before} to {done.after}.")
    click.echo(f"Database: {done.place}")
    if reader.why_default_database is not None:
        click.echo(f"This is the default: {reader.why_default_database}.")


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob sync --now
  syncjob sync --dry-run

\b
  A line for cron; it prints something only when a person should look:
  */15 * * * *  /usr/local/bin/syncjob sync --config /etc/syncjob/syncjob.toml""",
)
@_run_options
@click.option("--now", is_flag=True, help="List the followers although no sweep is due yet.")
@click.option("--dry-run", is_flag=True, help="Say what a run would do now, and do nothing.")
@click.pass_context
def sync(context: click.Context, /, now: bool, dry_run: bool, **options: Any) -> None:
    """Run the job once: list the followers, then enrich them.

    Goes on with an interrupted sweep of the follower list, or starts a new one when it is time to
    (SYNCJOB_SWEEP_EVERY, or --now), then fetches the profiles of the followers that have none yet.
    Says nothing when all is well.
    """
    if not dry_run:
        _run(context, RunOptions(command="sync", now=now, **options))
        return
    if any(options.values()):
        raise click.UsageError(
            "--dry-run goes with no other option but --now: it says what a whole run does"
        )
    _dry_run(context, now=now)


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  syncjob -v backfill""",
)
@click.option(
    "--restart", is_flag=True, help="Start over even if an earlier backfill is unfinished."
)
@_run_options
@click.pass_context
def backfill(context: click.Context, /, **options: Any) -> None:
    """Run the job from scratch: list everybody again, enrich everybody again.

    Interrupted, it goes on when it is started again, or at the next sync. Nothing stored is lost.
    """
    _run(context, RunOptions(command="backfill", **options))


def _run(context: click.Context, options: RunOptions) -> None:
    from syncjob.cli.report import Report, reporting

    # Notices are sent even if other settings, or parts of the settings file, are wrong.
    reader, report = settings_of(context, tolerant=True), Report(options.command)
    with sending_notices(reader, report), reporting(options.report, report):
        _run_reported(reader, options, report)


def _run_reported(reader: "SettingsReader", options: RunOptions, report: "Report") -> None:
    settings = reader.job()
    report.appid, report.database_url = settings.account.appid, settings.database_url
    if settings.metrics_file is not None:
        require_prometheus_client("SYNCJOB_METRICS_FILE")
    from syncjob.bootstrap import open_job
    from syncjob.cli.report import by_api
    from syncjob.gc_tuning import freeze_imports
    from syncjob.job.job import Plan
    from syncjob.job.run import run_job
    from syncjob.job.sweep_rules import SweepRules

    plan = Plan(
        command=options.command,
        batch_size=settings.batch_size,
        concurrency=settings.concurrency,
        sweep_every=timedelta(0) if options.now else settings.account.sweep_every,
        rules=SweepRules(
            max_drift=settings.account.max_drift,
            max_unfollow=settings.account.max_unfollow,
            max_age=settings.account.sweep_max_age,
        ),
        refresh_after=settings.account.refresh_after,
        refresh_limit=settings.account.refresh_limit,
        restart=options.restart,
        probe_after=settings.probe_after,
        max_pages=options.max_pages,
        max_batches=options.max_batches,
        accept_list=options.accept_list,
        keep_runs=settings.keep_runs,
    )
    with open_job(settings) as job:
        freeze_imports()

        def keep(run: "Run") -> None:
            report.run, report.calls = run, by_api(job.client.traffic.spent)
            if options.report is not None and run.finished_at is not None:
                report.step_counts = job.store.runs.get_counts([run.id])[run.id]

        run = partial(run_job, job.store, job.client, job.account, plan, on_run=keep)
        every = settings.account.sweep_every
        with writing_metrics(settings.metrics_file, job.store, job.account, every):
            if shows_progress():
                _run_with_progress(run, lambda: _next_sweep(job, every))
            else:
                run()


def _next_sweep(job: "Job", every: timedelta | None) -> str:
    from syncjob.job.timing import next_sweep_at
    from syncjob.model.spans import next_sweep_in_words

    at = next_sweep_at(job.store, job.account, every)
    return next_sweep_in_words(at, job.store.get_now())


def _run_with_progress(run: Callable[..., "Run"], get_next_sweep: Callable[[], str]) -> None:
    """Run with a progress bar and a summary."""
    from syncjob.cli.progress import idle_summary, shown_progress, summary

    with shown_progress() as progress:
        ended = run(progress=progress)
    click.echo(idle_summary(get_next_sweep()) if ended.idle else summary(ended), err=True)


def _dry_run(context: click.Context, *, now: bool) -> None:
    """Print what a run would do, without doing it."""
    settings = settings_of(context).job()
    from syncjob.cli.dry_run import in_words
    from syncjob.database.store import open_store
    from syncjob.job.intentions import intend

    with open_store(
        settings.database_url.reveal(),
        name=f"syncjob/{settings.account.appid}",
        only_account=settings.only_account,
        patience=settings.database_patience,
    ) as store:
        found = intend(
            store,
            settings.account.appid,
            sweep_every=timedelta(0) if now else settings.account.sweep_every,
            sweep_max_age=settings.account.sweep_max_age,
            refresh_after=settings.account.refresh_after,
            refresh_limit=settings.account.refresh_limit,
        )
    click.echo(in_words(found, batch_size=settings.batch_size))
