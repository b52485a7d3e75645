"""The command that writes a new settings file."""

import os
from pathlib import Path

import click

from syncjob.cli.options import Command
from syncjob.errors import SettingsError


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob init
  syncjob init /etc/syncjob/syncjob.toml""",
)
@click.argument("file", type=click.Path(path_type=Path), default=Path("syncjob.toml"))
def init(file: Path) -> None:
    """Write a settings file with every setting in it, explained, that you alone can read.

    FILE is syncjob.toml unless you name another. What is there already is left as it is.
    """
    from syncjob.config.rendering import settings_file

    try:
        # Created with its final mode: no other user can ever read it. O_EXCL follows no link.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SettingsError(f"{str(file)!r} is there already; it was left as it is") from None
    except OSError as error:
        raise SettingsError(f"{str(file)!r} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as written:
        written.write(settings_file().encode())
    click.echo(
        f"Wrote {file}; only you can read it. Next:\n"
        f"  1. fill in the account, its secret and the database at the top of it\n"
        f"  2. syncjob migrate --config {file} && syncjob -v sync --config {file}"
    )
