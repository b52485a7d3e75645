"""The options of every command, before or after its name: `-v`, `--config`, `--log-format`."""

import errno
import os
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click

from syncjob.cli.logs import log_to_stderr
from syncjob.config import SettingsReader, open_settings
from syncjob.errors import DatabaseError, Interrupted, Stopped, SyncjobError

# Commands as messages name them.
OURS = re.compile(
    r"\bsyncjob (?:migrate|doctor|sync --accept-list|status|runs|notify"
    r"|unfollows(?: approve| reject)?|quota forget|accounts(?: remove)?)\b"
)


@dataclass(slots=True)
class Call:
    """The common options of one call of the command line, and the settings that it has read."""

    verbosity: int = 0
    config: str | None = None
    log_format: str = "text"
    reader: SettingsReader | None = None

    def set_up_logging(self) -> None:
        """Log as the options say."""
        log_to_stderr(self.verbosity, as_json=self.log_format == "json")

    def message_of(self, error: SyncjobError) -> str:
        """Return an error's message; one of the default database says that no setting names it."""
        words = str(error)
        if self.reader is not None and isinstance(error, DatabaseError):
            why = self.reader.why_default_database
            if why is not None:
                first, line_end, rest = words.partition("\n")
                words = f"{first}; {why}{line_end}{rest}"
        return self.with_config(words)

    def with_config(self, words: str) -> str:
        """Return the text with `--config FILE` added to the commands in it.

        A copied `syncjob migrate` would otherwise run on another database.
        """
        if self.config is None:
            return words
        option = f"--config {shlex.quote(self.config)}"
        return OURS.sub(lambda found: f"{found[0]} {option}", words)


def call_of(context: click.Context) -> Call:
    """Return the call that a command is part of."""
    return context.ensure_object(Call)


def _add_verbosity(context: click.Context, parameter: click.Parameter, value: int) -> None:
    call_of(context).verbosity += value


def _keep_config(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        call_of(context).config = value


def _keep_log_format(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        call_of(context).log_format = value


def _common_options() -> list[click.Option]:
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_add_verbosity,
            help="Say what happens on stderr; -vv also why, with tracebacks.",
        ),
        click.Option(
            ["--config"],
            metavar="FILE",
            expose_value=False,
            callback=_keep_config,
            help="A TOML file with settings (or SYNCJOB_CONFIG; else /etc/syncjob/syncjob.toml, if "
            "it is there); the environment wins over it.",
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"]),
            expose_value=False,
            callback=_keep_log_format,
            help="How -v tells: words, or a JSON object a line.",
        ),
    ]


class Command(click.Command):
    """A command with the common options, which sets up logging."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common_options())

    def invoke(self, ctx: click.Context) -> Any:
        """Set logging up as the options say, then run the command."""
        call_of(ctx).set_up_logging()
        return super().invoke(ctx)


class Group(click.Group):
    """A group whose common options apply to its commands too."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common_options())

    def invoke(self, ctx: click.Context) -> Any:
        """Set logging up and run the command; turn broken pipes and signals into our own exits."""
        call_of(ctx).set_up_logging()
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:  # the reader has closed our output, as `head` does: no failure
            _forget_stdout()
            return None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            _forget_stdout()
            raise SyncjobError(f"the output cannot be written: {error.strerror}") from None
        except Interrupted as signal:  # click would print an empty line and lose the signal's name
            raise Stopped(f"stopped by {signal}; nothing is lost, the next run goes on") from None
        return result


def _forget_stdout() -> None:
    """Discard the rest of stdout, so that Python does not fail to flush it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def settings_of(context: click.Context, *, tolerant: bool = False) -> SettingsReader:
    """Return a reader of the settings, from the environment and the file that `--config` names.

    Raises SettingsError for a file with a fault; if `tolerant`, only once more than `notices` is
    read.
    """
    call = call_of(context)
    call.reader = open_settings(call.config, tolerant=tolerant)
    return call.reader


def read_max_age(
    context: click.Context, option: click.Parameter, value: str | None
) -> timedelta | None:
    """Parse the value of `--max-age`; raise BadParameter if it is no duration."""
    from syncjob.config import parsers

    if value is None:
        return None
    try:
        return parsers.max_age(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}; expected {error}") from None
