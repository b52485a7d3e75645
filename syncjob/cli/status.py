"""The commands that show what is stored: status, runs."""

import json
from datetime import date, datetime, time, timedelta

import click

from syncjob.cli.account import open_account
from syncjob.cli.options import Command, read_max_age, settings_of
from syncjob.errors import ExitCode
from syncjob.model.accounts import FollowerCount
from syncjob.model.quota import CHINA
from syncjob.model.runs import RunStatus


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob status
  syncjob status --max-age 26h || echo "syncjob has not succeeded for more than a day"
  syncjob status --json | jq .last_success_age_seconds
  syncjob status --at 2026-11-01""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@click.option(
    "--at",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="How many followed at the end of that day in China, a range if that is all that is known.",
)
@click.option(
    "--max-age",
    callback=read_max_age,
    metavar="TIME",
    help="Exit with 1 if, and only if, the last success is older: 26h, 3d; longer than the "
    "time between two sweeps.",
)
@click.pass_context
def status(
    context: click.Context, as_json: bool, day: datetime | None, max_age: timedelta | None
) -> None:
    """Show what is in the database, and how the last run ended.

    Exits with 1 if the last finished run failed, or died; with --max-age, if no run has succeeded
    for so long, whatever the last one did. A run that had nothing to do (idle) asked WeChat
    nothing, and counts for neither. Needs no secret and asks WeChat nothing.
    """
    if day is not None:
        if max_age is not None:
            raise click.UsageError("--at and --max-age cannot be given together")
        _show_count(context, day.date(), as_json)
        return
    from syncjob.cli.render import status_as_json, status_in_words
    from syncjob.job.process import is_dead
    from syncjob.job.timing import next_sweep_at

    every = settings_of(context).sweep_every()
    with open_account(context) as (store, account):
        if account is None:
            click.echo("{}" if as_json else "No run yet. Start with: syncjob sync")
            context.exit(ExitCode.DONE if max_age is None else ExitCode.FAILED)
        found, next_at = store.reports.get_status(account), next_sweep_at(store, account, every)
    died = found.running is not None and is_dead(found.running.holder or "")
    click.echo(
        json.dumps(status_as_json(found, next_at, died=died), indent=2, ensure_ascii=False)
        if as_json
        else status_in_words(found, next_at, died=died)
    )
    if max_age is not None:
        success = found.last_success_at
        is_old = success is None or found.as_of - success > max_age
        context.exit(ExitCode.FAILED if is_old else ExitCode.DONE)
    # An idle run does not end a failure: it has asked WeChat nothing.
    last = found.last_asking_run
    failed = last is not None and last.status in ("failed", "abandoned")
    if failed or died:
        context.exit(ExitCode.FAILED)


def _show_count(context: click.Context, day: date, as_json: bool) -> None:
    from syncjob.cli.render import count_in_words

    with open_account(context) as (store, account):
        if day > store.get_now().astimezone(CHINA).date():
            raise click.UsageError(f"--at: {day} has not come yet")
        # The day's end where WeChat counts its days, as in daily_follower_changes.
        end = datetime.combine(day + timedelta(days=1), time(), CHINA)
        count = (
            FollowerCount(0, None, None)
            if account is None
            else store.reports.count_at(account.id, end)
        )
    if as_json:
        since = count.complete_since
        answer = {
            "date": day.isoformat(),
            "at_least": count.at_least,
            "at_most": count.at_most,
            "complete_since": None if since is None else since.isoformat(),
        }
        click.echo(json.dumps(answer))
    else:
        click.echo(count_in_words(day, count))


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob runs --limit 5
  syncjob runs --failed
  syncjob runs --all --json""",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.option("--all", "every", is_flag=True, help="The idle ones too.")
@click.option("--failed", is_flag=True, help="Only those that failed or died.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    metavar="N",
    help="So many at most.",
)
@click.pass_context
def runs(context: click.Context, as_json: bool, every: bool, failed: bool, limit: int) -> None:
    """Show the history of runs, the newest first.

    Idle runs, which had nothing to do and asked WeChat nothing, are left out unless --all is given.
    """
    from syncjob.cli.render import runs_in_words
    from syncjob.cli.report import run_as_json

    with open_account(context) as (store, account):
        if account is None:
            click.echo("[]" if as_json else "No run yet. Start with: syncjob sync")
            return
        statuses: tuple[RunStatus, ...] | None = ("failed", "abandoned") if failed else None
        found = store.runs.get_latest(account.id, limit, idle=every, statuses=statuses)
        ids = [run.id for run in found] if as_json else []
        calls, counts = store.runs.get_calls(ids), store.runs.get_counts(ids)
        idle = 0
        if not (as_json or every or failed):
            is_whole = len(found) < limit
            idle = store.runs.count_idle(account.id, behind=0 if is_whole else found[-1].id)
    if as_json:
        rows = [run_as_json(run, account.appid, calls[run.id], counts[run.id]) for run in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if found:
        click.echo(runs_in_words(found))
    elif failed:
        click.echo("No run has failed.")
    elif not idle:
        click.echo("No run yet. Start with: syncjob sync")
    if idle:
        click.echo(f"Not shown: {idle:,} idle, which had nothing to do (syncjob runs --all).")
