"""Finds the settings file: the one that is named, else the first at the usual places."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from syncjob.config.file import SettingsFile, read_settings_file
from syncjob.config.quoting import fault_of
from syncjob.config.secrets import AS_THE_JOB
from syncjob.errors import SettingsError

SYSTEM_FOLDER = Path("/etc/syncjob")
FILE_NAME = "syncjob.toml"
NOT_NAMED = "no settings file was named by --config or SYNCJOB_CONFIG"
EMPTY_NAME = "no settings file was named: SYNCJOB_CONFIG or --config is empty, so none is read"


def usual_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders searched when no file is named: the system's, then the user's."""
    config, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if config.startswith("/"):  # the XDG specification ignores a relative path
        return SYSTEM_FOLDER, Path(config) / "syncjob"
    if home.startswith("/"):
        return SYSTEM_FOLDER, Path(home) / ".config" / "syncjob"
    return (SYSTEM_FOLDER,)


def absence_of(file: SettingsFile | None) -> str:
    """Return why a setting is in no settings file, to be appended to a message."""
    if file is None:
        return NOT_NAMED
    if file.denied:
        return f"this user may not read the settings file {str(file.path)!r}: {AS_THE_JOB}"
    return f"the settings file {str(file.path)!r} does not have it either"


def find_settings_file(
    path: str | None, folders: Sequence[Path]
) -> tuple[SettingsFile | None, str]:
    """Read the file that `path` names; if it is None, the first that is there in `folders`.

    Returns None and the reason if there is none to be read. A file at a usual place that this user
    may not read is `denied`; that is no fault until a setting is missing. An empty `path` means
    that no file is read at all: a rehearsal must not use the settings of the real job.
    """
    if path is not None:
        named = path.strip()
        if not named:
            return None, EMPTY_NAME
        if (fault := fault_of(named)) is not None:
            words = f"the path of the settings file (--config or SYNCJOB_CONFIG) {fault}"
            return SettingsFile(Path(ascii(named)), fault=SettingsError(words)), ""
        return read_settings_file(Path(named)), ""
    places = [folder / FILE_NAME for folder in folders]
    denied = None
    for place in places:
        try:
            with place.open("rb"):
                pass
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            denied = denied or place
            continue
        except (OSError, ValueError):
            pass  # reading it says what is wrong
        return read_settings_file(place), ""
    if denied is not None:
        return SettingsFile(denied, denied=True), ""
    looked = " or ".join(ascii(str(place)).strip("'\"") for place in places)
    return None, f"{NOT_NAMED}, and there is none at {looked}"
