"""The commands that show the day's quotas, and clear those known to be used up."""

import json

import click

from syncjob.cli.account import open_account
from syncjob.cli.options import Command, Group


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog="""\b
EXAMPLES
  syncjob quota
  syncjob quota forget""",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
@click.pass_context
def quota(context: click.Context, as_json: bool) -> None:
    """Show how often each API of WeChat's was called today, and how often it may be.

    A day is Beijing's. "used by all" is what WeChat last said of all programs of the account, and
    this database's calls since; it is blank until WeChat has said something today. Asks WeChat
    nothing.
    """
    if context.invoked_subcommand is not None:
        return
    from syncjob.cli.render import quotas_as_json, quotas_in_words

    with open_account(context) as (store, account):
        found = [] if account is None else store.quotas.get_uses(account.id)
    if as_json:
        click.echo(json.dumps(quotas_as_json(found), indent=2))
    else:
        click.echo(quotas_in_words(found) if found else "No call was made today.")


@quota.command(
    cls=Command,
    epilog="""\b
EXAMPLE (when a quota was cleared in WeChat's console)
  syncjob quota forget && syncjob sync""",
)
@click.pass_context
def forget(context: click.Context) -> None:
    """Let the next run call what WeChat has said is used up today."""
    with open_account(context) as (store, account):
        count = 0 if account is None else store.quotas.forget_exhausted(account.id)
    if count:
        click.echo(f"Forgotten: {count} used-up quota{'s' if count > 1 else ''}; runs call again.")
    else:
        click.echo("No quota is known to be used up; nothing to forget.")
