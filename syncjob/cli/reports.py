"""The commands that only look: status, runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from syncjob.cli.options import Command, settings_of
from syncjob.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from syncjob.database.store import Store
    from syncjob.model import Account


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob status
  syncjob status --json | jq .last_success_age_seconds""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show what is in the database, and how the last run ended.

    Exits with 1 if the last finished run failed, or died. Needs no secret and asks WeChat nothing.
    """
    from syncjob.cli.render import status_as_json, status_in_words
    from syncjob.sync.holder import is_dead

    with _open_account(context) as (store, account):
        if account is None:
            click.echo("{}" if as_json else "No run yet. Start with: syncjob sync")
            return
        found = store.get_status(account)
    died = found.running is not None and is_dead(found.running.holder or "")
    click.echo(
        json.dumps(status_as_json(found, died=died), indent=2, ensure_ascii=False)
        if as_json
        else status_in_words(found, died=died)
    )
    if found.last_run is not None and found.last_run.status in ("failed", "abandoned"):
        context.exit(ExitCode.FAILED)


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  syncjob runs --limit 5""",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@click.pass_context
def runs(context: click.Context, as_json: bool, limit: int) -> None:
    """Show the history of runs, the newest first."""
    from syncjob.cli.render import run_as_json, runs_in_words

    with _open_account(context) as (store, account):
        found = [] if account is None else store.get_runs(account.id, limit)
    if as_json:
        click.echo(json.dumps([run_as_json(run) for run in found], indent=2, ensure_ascii=False))
    else:
        click.echo(runs_in_words(found) if found else "No run yet. Start with: syncjob sync")


@contextmanager
def _open_account(context: click.Context) -> Iterator[tuple["Store", "Account | None"]]:
    """Open the store and the settings' account, or the only one there is."""
    settings = settings_of(context).database()
    from syncjob.database.store import open_store

    with open_store(settings.database_url.reveal()) as store:
        appid = settings.appid
        if appid is None:
            appids = store.get_appids()
            if len(appids) > 1:
                raise SettingsError(
                    f"SYNCJOB_APPID is not set, and the database holds {len(appids)} accounts; "
                    f"expected one of {', '.join(appids)}"
                )
            appid = appids[0] if appids else ""
        yield store, store.get_account(appid)
