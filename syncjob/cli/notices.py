"""Telling of failures, from the command line: at the end of each run, and to try it out."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from syncjob.cli.options import Command, settings_of
from syncjob.config import SettingsReader
from syncjob.errors import ExitCode, RehearsalRefused, SettingsError

if TYPE_CHECKING:
    from syncjob.cli.report import Report

logger = logging.getLogger(__name__)


@contextmanager
def telling(settings: SettingsReader, report: "Report") -> Iterator[None]:
    """Tell who is to be told, at the end of the block, however it ends.

    Whatever goes wrong in that, the block ends as it would have.
    """
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        try:
            _tell(settings, report, failure)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the run matters more
            # Not the error's own text, which may hold anything.
            logger.warning("Could not tell how the run ended. reason=%s", type(error).__name__)


def _tell(settings: SettingsReader, report: "Report", failure: BaseException | None) -> None:
    try:
        notices = settings.notices()
    except SettingsError:  # which is what the run was refused for
        return
    # Who has mistaken the database of a rehearsal sits before it.
    if not notices.is_anybody or isinstance(failure, RehearsalRefused):
        return
    from syncjob.notices.telling import tell_change

    tell_change(notices, report.database_url, report.as_json(failure), failure)


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  SYNCJOB_ON_FAILURE='logger -t syncjob' syncjob notify""",
)
@click.pass_context
def notify(context: click.Context) -> None:
    """Tell all who would be told of a failure that this is a test.

    Runs SYNCJOB_ON_FAILURE and posts to SYNCJOB_WEBHOOK_URL, whichever is set, and says what came
    of it. Exits with 1 if one of them could not be told. Asks neither WeChat nor the database.
    """
    settings = settings_of(context).notices()
    if not settings.is_anybody:
        raise SettingsError(
            "neither SYNCJOB_ON_FAILURE nor SYNCJOB_WEBHOOK_URL (or SYNCJOB_WEBHOOK_URL_FILE) is "
            "set; expected a command, an address, or both"
        )
    from syncjob.notices.channels import NotTold, channels_of
    from syncjob.notices.telling import trial

    failed = False
    for channel in channels_of(settings):
        try:
            channel.tell(trial(settings))
        except NotTold as failure:
            failed = True
            click.echo(f"{channel.shown}: not told: {failure}")
        else:
            click.echo(f"{channel.shown}: told")
    if failed:
        context.exit(ExitCode.FAILED)
