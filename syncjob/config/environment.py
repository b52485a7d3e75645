"""What notices use of the environment: a folder for their state, variables for their command."""

from collections.abc import Mapping
from pathlib import Path

from syncjob.config.settings import SETTINGS

# Their files too, whether they can be given as one or not.
HIDDEN = {name for row in SETTINGS if row.secret for name in (row.name, f"{row.name}_FILE")}


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd has made for the service, or else the user's own."""
    # Of several that a unit may name, the first.
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):  # a relative one is to be ignored, by its specification
        return Path(state) / "syncjob"
    return Path(home) / ".local" / "state" / "syncjob" if home.startswith("/") else None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without our secrets, and without the names of their files."""
    return {name: value for name, value in environ.items() if name not in HIDDEN}
