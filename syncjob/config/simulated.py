"""The rules for settings of commands that run under `syncjob simulate`.

`simulate` sets SYNCJOB_SIMULATED, which is inherited through scripts and shells. Nothing here
touches a database; see `database.schema.require_only`.
"""

from collections.abc import Mapping

from syncjob.config.settings import BY_NAME, SETTINGS
from syncjob.errors import RehearsalRefused

MARK = "SYNCJOB_SIMULATED"
ANYWAY = "anyway"
# The settings file is usually the real job's, and a rehearsal must notify nobody.
REACHES_OTHERS = frozenset(name for row in SETTINGS if row.reaches_others for name in row.names)
_DATABASE = frozenset(BY_NAME["SYNCJOB_DATABASE_URL"].names)


def is_simulated(environ: Mapping[str, str]) -> bool:
    """Tell whether the command runs against the simulator."""
    return bool(environ.get(MARK, "").strip())


def account_of(environ: Mapping[str, str]) -> str | None:
    """Return the simulator's AppID, the only one that the database may hold.

    None: there is no simulator, or the operator allowed any database (`--anyway`).
    """
    mark = environ.get(MARK, "").strip()
    return None if mark in ("", ANYWAY) else mark


def usable(environ: Mapping[str, str], file: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the file that a rehearsal may use.

    Never metrics and notices; not the database if the file names another account.
    """
    if not is_simulated(environ):
        return dict(file)
    left_out = REACHES_OTHERS
    account = account_of(environ)
    if account is not None and file.get("SYNCJOB_APPID", account).strip() != account:
        left_out |= _DATABASE
    return {name: value for name, value in file.items() if name not in left_out}


def require_no_default(environ: Mapping[str, str]) -> None:
    """Raise RehearsalRefused in a rehearsal: the database must be named."""
    if is_simulated(environ):
        raise RehearsalRefused(
            "SYNCJOB_DATABASE_URL is not set, and under syncjob simulate there is no default; "
            "expected a database of its own, such as sqlite:///rehearsal.db"
        )


def require_account(environ: Mapping[str, str], appid: str) -> None:
    """Raise RehearsalRefused in a rehearsal of another account than the simulator's."""
    account = account_of(environ)
    if account not in (None, appid):
        raise RehearsalRefused(
            f"SYNCJOB_APPID is {appid!r}, and syncjob simulate serves {account}; expected that, "
            "or none"
        )
