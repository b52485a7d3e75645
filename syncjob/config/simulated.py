"""What `syncjob simulate` changes in the settings of the commands that it runs.

It marks their environment, and the mark goes wherever the environment goes: through a shell script,
`sh -c` and a second shell. Nothing here touches a database; see `database.schema.require_only`.
"""

from collections.abc import Mapping

MARK = "SYNCJOB_SIMULATED"
ANYWAY = "anyway"
# A settings file is the real job's as a rule, and a rehearsal must reach nobody by it.
_REACHES_OTHERS = frozenset(
    {
        "SYNCJOB_METRICS_FILE",
        "SYNCJOB_ON_FAILURE",
        "SYNCJOB_WEBHOOK_URL",
        "SYNCJOB_WEBHOOK_URL_FILE",
    }
)
_DATABASE = frozenset({"SYNCJOB_DATABASE_URL", "SYNCJOB_DATABASE_URL_FILE"})


def is_simulated(environ: Mapping[str, str]) -> bool:
    """Tell whether the command runs against the simulator."""
    return bool(environ.get(MARK, "").strip())


def simulated_account(environ: Mapping[str, str]) -> str | None:
    """Return the AppID that the simulator serves, the only one that may be in the database.

    None: there is no simulator, or the operator has said that any database will do.
    """
    mark = environ.get(MARK, "").strip()
    return None if mark in ("", ANYWAY) else mark


def usable(environ: Mapping[str, str], file: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the file without those that a rehearsal must not use.

    Metrics and notices always; the database too, if the file names another account.
    """
    if not is_simulated(environ):
        return dict(file)
    left_out = _REACHES_OTHERS
    account = simulated_account(environ)
    if account is not None and file.get("SYNCJOB_APPID", account).strip() != account:
        left_out |= _DATABASE
    return {name: value for name, value in file.items() if name not in left_out}
