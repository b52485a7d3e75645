"""The command line: options in, one call, words and an exit code out. No logic of the job."""

import logging
import sys
import traceback
from contextvars import copy_context
from pathlib import Path
from typing import NoReturn

import click

from syncjob import __version__
from syncjob.cli.accounts import accounts
from syncjob.cli.doctor import doctor
from syncjob.cli.init import init
from syncjob.cli.jobs import backfill, migrate, sync
from syncjob.cli.logs import logs_json
from syncjob.cli.metrics import metrics
from syncjob.cli.notices import notify
from syncjob.cli.options import Call, Group
from syncjob.cli.plan import plan
from syncjob.cli.quota import quota
from syncjob.cli.simulate import simulate
from syncjob.cli.status import runs, status
from syncjob.cli.unfollows import unfollows
from syncjob.errors import ExitCode, SyncjobError
from syncjob.gc_tuning import reduce_gc
from syncjob.interruption import interruption

logger = logging.getLogger("syncjob")

_EPILOG = """\b
EXIT CODES
   0  done
   1  failed; the message says why (status: the last run failed)
   2  usage or settings; nothing was touched
   3  WeChat wants a person: credentials, IP whitelist, permission, account
   4  the database cannot be reached, or needs: syncjob migrate
   6  so many seem to have left that a person should look: syncjob unfollows
  75  try again later, nothing is lost: another run is running, the quota is
      used up, WeChat is busy or unreachable, or a signal stopped the run

\b
EXAMPLE
  export SYNCJOB_DATABASE_URL=sqlite:////var/lib/syncjob/syncjob.db
  export SYNCJOB_APPID=wx0123456789abcdef
  export SYNCJOB_APPSECRET_FILE=/etc/syncjob/appsecret
  syncjob migrate
  syncjob sync

Without an account of your own, try: syncjob simulate --help
"""


@click.group(cls=Group, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="syncjob")
def cli() -> None:
    """Keep the followers of a WeChat Official Account in your own database.

    Settings come from SYNCJOB_… variables or a TOML file; docs/manual/settings.md lists them.
    """


COMMANDS = (
    *(init, migrate, doctor, plan, sync, backfill),
    *(status, runs, accounts, unfollows, quota, metrics, notify, simulate),
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    reduce_gc()
    interruption.listen(_last_words)
    try:
        code = _run(sys.argv[1:])
        interruption.exit_with(code)
    except KeyboardInterrupt:  # which came in the moment before
        interruption.exit_with(code := int(ExitCode.TRY_AGAIN_LATER))
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line in this process; return its exit code.

    In a context of its own, so that the next call does not log with this one's account.
    """
    stop = interruption.listen(_last_words)
    try:
        return copy_context().run(_run, arguments)
    finally:
        stop()


def _run(arguments: list[str]) -> int:
    """Run the command line; return its exit code, any error said in words on stderr."""
    call = Call()
    try:
        code = cli.main(arguments, prog_name="syncjob", standalone_mode=False, obj=call)
        return int(code or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("stopped")
        return int(ExitCode.TRY_AGAIN_LATER)
    except SyncjobError as error:
        _say(call.message_of(error))
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last place where a bug can get its exit code
        last = traceback.extract_tb(error.__traceback__)[-1]
        _say(
            f"internal error: {type(error).__name__} at {Path(last.filename).name}:{last.lineno}\n"
            "please report it, with what -vv shows"
        )
        return int(ExitCode.FAILED)


def _last_words(signal: str) -> None:
    _say(f"stopped by {signal}; what did not end in time was left, the next run goes on")


def _say(words: str) -> None:
    """Print an error on stderr; with -vv, its traceback before it."""
    if logs_json():
        logger.error(words, exc_info=logger.isEnabledFor(logging.DEBUG))
        return
    if logger.isEnabledFor(logging.DEBUG):
        click.echo(traceback.format_exc(), err=True)
    click.echo(f"syncjob: {words}", err=True)
