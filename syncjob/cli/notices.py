"""Sends notices at the end of a run; the notify command tries them out."""

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
def sending_notices(settings: SettingsReader, report: "Report") -> Iterator[None]:
    """Send a notice, if one is due, at the end of the block, however it ends.

    An error in that is logged and does not change how the block ends.
    """
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        try:
            _send(settings, report, failure)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the run matters more
            # Not the error's own text, which may hold anything.
            logger.warning(
                "Could not send a notice of how the run ended. reason=%s", type(error).__name__
            )


def _send(settings: SettingsReader, report: "Report", failure: BaseException | None) -> None:
    try:
        notices = settings.notices()
    except SettingsError:  # the run was refused for the same reason
        return
    # A rehearsal has its operator before it.
    if not notices.has_channel or isinstance(failure, RehearsalRefused):
        return
    from syncjob.notices.sending import send_change

    send_change(notices, report.database_url, report.as_json(failure), failure)


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLE
  SYNCJOB_ON_FAILURE='logger -t syncjob' syncjob notify""",
)
@click.pass_context
def notify(context: click.Context) -> None:
    """Send a test notice to each channel that would get one of a failure.

    Runs SYNCJOB_ON_FAILURE and posts to SYNCJOB_WEBHOOK_URL, whichever is set, and says what came
    of it. Exits with 1 if a notice could not be sent. Asks neither WeChat nor the database.
    """
    settings = settings_of(context).notices()
    if not settings.has_channel:
        raise SettingsError(
            "neither SYNCJOB_ON_FAILURE nor SYNCJOB_WEBHOOK_URL (or SYNCJOB_WEBHOOK_URL_FILE) is "
            "set; expected a command, an address, or both"
        )
    from syncjob.notices.channels import NotSent, open_channels
    from syncjob.notices.sending import make_test_notice

    failed = False
    for channel in open_channels(settings):
        try:
            channel.send(make_test_notice(settings))
        except NotSent as failure:
            failed = True
            click.echo(f"{channel.shown}: not sent: {failure}")
        else:
            click.echo(f"{channel.shown}: sent")
    if failed:
        context.exit(ExitCode.FAILED)
