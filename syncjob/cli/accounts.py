"""The commands that list the accounts of the database and remove one."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from syncjob.cli.account import open_database
from syncjob.cli.options import Command, Group
from syncjob.errors import SettingsError, SyncjobError

if TYPE_CHECKING:
    from syncjob.model.accounts import AccountStatus
    from syncjob.model.runs import Run

# All OpenIDs of one account begin with the same characters.
PREFIX = 6


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog="""\b
EXAMPLES
  syncjob accounts
  syncjob accounts --json | jq '.[].appid'
  syncjob accounts remove wx0123456789abcdef --dry-run""",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.pass_context
def accounts(context: click.Context, as_json: bool) -> None:
    """List the accounts of the database: followers, last run, last success.

    "openids" is how their OpenIDs begin: all of one account begin alike. Asks WeChat nothing.
    """
    if context.invoked_subcommand is not None:
        return
    with open_database(context) as (store, _):
        found = [
            (
                store.reports.get_status(account),
                (store.followers.find_openid(account.id) or "")[:PREFIX],
            )
            for account in store.accounts.get_all()
        ]
    if as_json:
        rows = [_as_json(status, prefix) for status, prefix in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        click.echo(_in_words(found) if found else "No account yet. Start with: syncjob sync")


def _in_words(found: "list[tuple[AccountStatus, str]]") -> str:
    rows = [("appid", "openids", "followers", "subscribed", "last success", "last run")]
    for status, prefix in found:
        last, success = status.running or status.last_run, status.last_success_at
        rows.append(
            (
                status.account.appid,
                f"{prefix}…" if prefix else "",
                f"{status.followers:,}",
                f"{status.subscribed:,}",
                "never" if success is None else f"{success:%Y-%m-%d %H:%M} UTC",
                "" if last is None else f"{last.started_at:%Y-%m-%d %H:%M} UTC, {last.status}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in (2, 3) else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _as_json(status: "AccountStatus", prefix: str) -> dict[str, Any]:
    from syncjob.cli.report import run_as_json

    appid, success = status.account.appid, status.last_success_at

    def as_report(run: "Run | None") -> dict[str, Any] | None:
        if run is None:
            return None
        return run_as_json(run, appid, status.calls[run.id], status.step_counts[run.id])

    return {
        "appid": appid,
        "openid_prefix": prefix or None,
        "followers": status.followers,
        "subscribed": status.subscribed,
        "last_success_at": None if success is None else success.isoformat(),
        "running": as_report(status.running),
        "last_run": as_report(status.last_run),
    }


@accounts.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob accounts remove wx0123456789abcdef --dry-run
  syncjob accounts remove wx0123456789abcdef --erase --yes""",
)
@click.option("--erase", is_flag=True, help="Remove it although it has followers, and them.")
@click.option("--yes", is_flag=True, help="Do not ask, which takes a terminal.")
@click.option("--dry-run", is_flag=True, help="Count its rows by table, and remove nothing.")
@click.argument("appid")
@click.pass_context
def remove(context: click.Context, appid: str, erase: bool, yes: bool, dry_run: bool) -> None:
    """Remove an account, with everything of it in every table.

    One that has followers only with --erase, after you have typed the AppID. Ends with 75 during a
    run of it. Stop its timer or its line of cron first: the next run would add it again.
    """
    from syncjob.job.removal import remove_account, require_removable

    with open_database(context) as (store, _):
        account = store.accounts.get(appid)
        if account is None:
            raise SettingsError(_unknown(appid, store.accounts.get_appids()))
        rows = store.removal.count_rows(account.id)
        if dry_run:
            click.echo(_counted(rows))
            return
        require_removable(store, account, erase=erase)
        if erase and not yes:
            _confirm(appid, rows)
        remove_account(store, account, erase=erase)
    click.echo(f"Removed the account {appid}: {sum(rows.values()):,} rows.")


def _unknown(appid: str, appids: list[str]) -> str:
    there = f"it holds {', '.join(appids)}" if appids else "it holds none"
    return f"the account {appid!r} is not in the database; {there}"


def _counted(rows: dict[str, int]) -> str:
    width = max(map(len, rows))
    lines = [f"{name:<{width}}  {count:>12,}" for name, count in rows.items()]
    return "\n".join(["Would remove, in rows:", *lines])


def _confirm(appid: str, rows: dict[str, int]) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("--erase asks, and there is no terminal; to do it unasked: --yes")
    click.echo(f"This erases {rows.get('followers', 0):,} followers of {appid} for good.", err=True)
    typed: Any = click.prompt("Type the AppID to go on", default="", show_default=False, err=True)
    if typed.strip() != appid:
        raise SyncjobError("that is not the AppID; nothing was removed")
