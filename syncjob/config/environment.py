"""What notices use of the environment: a folder for their state, variables for their command."""

from collections.abc import Mapping
from pathlib import Path

from syncjob.config.settings import SETTINGS

# With the names of their files, whether there is such a setting or not.
HIDDEN = {name for row in SETTINGS if row.secret for name in (row.name, f"{row.name}_FILE")}


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd made for the service, or the user's state folder."""
    # A unit may name several, parted by colons; the first counts.
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):  # the XDG specification ignores a relative path
        return Path(state) / "syncjob"
    return Path(home) / ".local" / "state" / "syncjob" if home.startswith("/") else None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the settings that may hold a secret, and their files."""
    return {name: value for name, value in environ.items() if name not in HIDDEN}
