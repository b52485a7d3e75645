"""The SQLite file that SYNCJOB_DATABASE_URL names: parsing its URL, and checking the file."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from sqlalchemy import URL

from syncjob.errors import DatabaseError, SettingsError

OPTIONS = {"mode": ("ro", "rw", "rwc"), "cache": ("private",), "uri": ("true", "1")}
TIMEOUT = "timeout"  # the driver's: seconds to wait for another program's write to end
LONGEST_TIMEOUT = 120
# SQLite's own options that would lose or hide what other programs write.
HARMFUL = {"immutable", "nolock", "vfs", "psow", "modeof"}


def parse_sqlite(database_url: str) -> URL:
    """Return the URL of a SQLite file; with options, one of SQLite's own (`file:`).

    The path is used as written if that file exists, else percent-decoded. Raises SettingsError if
    it names no file, and for options that are not supported.
    """
    rest, _, query = database_url.partition("?")
    options = _options(query)
    if not rest.startswith("sqlite:///"):
        raise SettingsError(
            "SYNCJOB_DATABASE_URL names no SQLite file; expected sqlite:////path/to/file.db "
            "(three slashes before a path from the folder that syncjob is started in)"
        )
    name = rest.removeprefix("sqlite:///")
    if name.startswith("file:"):  # SQLite's own URIs begin so
        name = re.sub("^//(localhost)?(?=/)", "", name.removeprefix("file:"))
    if not name or name == ":memory:" or "\0" in unquote(name):
        raise SettingsError(
            "SYNCJOB_DATABASE_URL names no SQLite file; expected sqlite:////path/to/file.db"
        )
    if os.name != "nt" and re.match(r"[A-Za-z]:[\\/]|\\\\", name):
        raise SettingsError(
            "SYNCJOB_DATABASE_URL names a file of Windows; expected sqlite:////path/to/file.db"
        )
    if name.startswith("~"):
        raise SettingsError(
            "SYNCJOB_DATABASE_URL begins with ~, which only a shell knows; expected sqlite:////path/to/file.db"
        )
    path = name if os.path.exists(name) else unquote(name)  # noqa: PTH110 - False without rights
    if not options:
        return URL.create("sqlite", database=path)
    return URL.create("sqlite", database=f"file:{quote(path)}", query={**options, "uri": "true"})


def path_of(url: URL) -> Path:
    """Return the file of a URL that `parse_sqlite` returned."""
    name = url.database or ""
    return Path(unquote(name.removeprefix("file:")) if "uri" in url.query else name)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in (*OPTIONS, TIMEOUT):
            where = " (SQLite's, which would lose what others write)" if name in HARMFUL else ""
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL has the option {name!r}{where}; expected none, or of "
                f"{', '.join(sorted((*OPTIONS, TIMEOUT)))}; a ? in a file's name is written %3F"
            )
        if name in options:
            raise SettingsError(f"SYNCJOB_DATABASE_URL has the option {name!r} twice")
        if name == TIMEOUT:
            if not re.fullmatch(r"\d{1,3}(\.\d+)?", value) or float(value) > LONGEST_TIMEOUT:
                raise SettingsError(
                    f"SYNCJOB_DATABASE_URL has timeout={value!r}; expected seconds, at most "
                    f"{LONGEST_TIMEOUT}"
                )
        elif value not in OPTIONS[name]:
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL has {name}={value!r}; expected one of "
                f"{', '.join(OPTIONS[name])}"
            )
        options[name] = value
    return {name: value for name, value in options.items() if name != "uri"}


def require_file(url: URL, *, create: bool) -> None:
    """Raise DatabaseError if the file is missing; with `create`, make it, for its owner only."""
    path = path_of(url)
    try:
        if not path.parent.exists():
            raise DatabaseError(
                f"the folder of the database file {str(path)!r} does not exist; make it, for the "
                "user that runs syncjob"
            )
        if create and url.query.get("mode") in (None, "rwc"):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not path.exists():
            raise DatabaseError(
                f"the database file {str(path)!r} does not exist (run: syncjob migrate)"
            )
    except OSError as error:
        raise DatabaseError(
            f"the database file {str(path)!r} cannot be opened: {error.strerror}; "
            "check the path and the rights of the user that runs syncjob"
        ) from None
