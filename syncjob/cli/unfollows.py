"""The commands that show parked unfollows, and approve or reject them."""

import json

import click

from syncjob.cli.account import open_account
from syncjob.cli.options import Command, Group
from syncjob.errors import SyncjobError

SAMPLE = 10


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog="""\b
EXAMPLES
  syncjob unfollows
  syncjob unfollows approve""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@click.option(
    "--sample",
    type=click.IntRange(0, 1_000_000),
    default=SAMPLE,
    show_default=True,
    metavar="N",
    help="How many of them to show.",
)
@click.pass_context
def unfollows(context: click.Context, as_json: bool, sample: int) -> None:
    """Show the followers who seem to have left, and decide if they are too many.

    When WeChat's list suddenly lacks many followers, nobody is marked as gone: they are parked
    (SYNCJOB_MAX_UNFOLLOW), and every run ends with exit code 6, until you approve or reject, or
    until a later sweep lists them again.

    Of some WeChat refuses to speak. They are asked about again after growing pauses, and are
    marked as gone when it has refused after three whole sweeps without them, over a day at least.
    """
    if context.invoked_subcommand is not None:
        return
    from syncjob.cli.missing import Missing, missing_as_json, missing_in_words

    with open_account(context) as (store, account):
        if account is None:
            click.echo("{}" if as_json else "No run yet. Start with: syncjob sync")
            return
        found = Missing(
            account,
            store.unfollows.count_candidates(account.id),
            store.unfollows.get_candidates(account.id, after="", limit=sample) if sample else [],
            *store.unfollows.count_unanswered(account.id),
            store.unfollows.get_unanswered(account.id, limit=sample) if sample else [],
        )
    if as_json:
        click.echo(json.dumps(missing_as_json(found), indent=2, ensure_ascii=False))
    else:
        click.echo(missing_in_words(found))


@unfollows.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  syncjob unfollows approve && syncjob sync""",
)
@click.pass_context
def approve(context: click.Context) -> None:
    """Let the next run ask WeChat about each of them, and mark those who did leave."""
    count = _decide(context, approve=True)
    click.echo(
        f"Approved: the next run asks WeChat about each of the {count:,} and marks who left."
    )


@unfollows.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  syncjob unfollows reject""",
)
@click.pass_context
def reject(context: click.Context) -> None:
    """Keep them as followers; the next complete sweep looks again."""
    count = _decide(context, approve=False)
    click.echo(f"Rejected: the {count:,} stay followers; the next complete sweep looks again.")


def _decide(context: click.Context, *, approve: bool) -> int:
    with open_account(context) as (store, account):
        if account is None or account.parked_at is None:
            raise SyncjobError("nothing is parked, so there is nothing to decide")
        return store.unfollows.decide_parked(account.id, approve=approve)
