"""Reads the settings from the environment and a TOML file, and checks them.

The only file that reads `os.environ`. It opens no connection; whether a database or a token server
answers is found out later.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from syncjob.config import simulated
from syncjob.config.environment import state_folder, without_secrets
from syncjob.config.file import SettingsFile, nearest
from syncjob.config.places import absence_of, find_settings_file, usual_folders
from syncjob.config.quoting import unquoted
from syncjob.config.settings import (
    OF_ACCOUNT,
    OF_NOTICES,
    SETTING_NAMES,
    SHARED,
    AccountSettings,
    DatabaseSettings,
    NoticeSettings,
    Settings,
)
from syncjob.config.table import Setting
from syncjob.config.values import Values
from syncjob.errors import SettingsError

logger = logging.getLogger(__name__)

DATABASE_URL, APPID = SHARED["database_url"], OF_ACCOUNT["appid"]


class SettingsReader:
    """The settings of one environment and one optional file, as the commands need them."""

    def __init__(
        self,
        environ: Mapping[str, str],
        file: Mapping[str, str] | None = None,
        *,
        origin: SettingsFile | None = None,
        absence: str = "",
    ) -> None:
        """`origin` is the file that `file` is from; if it has a fault, only `notices` can be read.

        `absence` says why there is no file.
        """
        self.origin = origin
        self._environ = environ
        self._notices: NoticeSettings | None = None
        kept = simulated.usable(environ, file or {})
        self.values = Values(environ, kept, absence=absence or absence_of(origin))

    @property
    def names_database(self) -> bool:
        """Tell whether a setting names the database, so that it is not the default."""
        return self.values.names(DATABASE_URL.name)

    @property
    def why_default_database(self) -> str | None:
        """Return why the database is the default one; None if a setting names it."""
        if self.names_database:
            return None
        return f"SYNCJOB_DATABASE_URL is not set; {self.values.absence}"

    @property
    def unknown(self) -> list[tuple[str, str | None]]:
        """Return the unknown SYNCJOB_… names, each with the most similar setting."""
        strange = self.values.given - SETTING_NAMES - {"SYNCJOB_CONFIG", simulated.MARK}
        return [(name, nearest(name)) for name in sorted(strange) if name.startswith("SYNCJOB_")]

    def database(self) -> DatabaseSettings:
        """Read the settings of a command that only reads the database."""
        self._require_sound()
        return DatabaseSettings(
            self._read(DATABASE_URL),
            self._read(SHARED["database_patience"]),
            self._read(APPID, required=False),
            simulated.account_of(self._environ),
        )

    def sweep_every(self) -> timedelta | None:
        """Read SYNCJOB_SWEEP_EVERY alone; None means `auto`."""
        self._require_sound()
        every: timedelta | None = self._read(OF_ACCOUNT["sweep_every"])
        return every

    def job(self) -> Settings:
        """Read all settings of a run; raise SettingsError for the first that is wrong."""
        settings, faults = self.examine()
        if settings is None:
            raise faults[0]
        return settings

    def examine(self) -> tuple[Settings | None, list[SettingsError]]:
        """Return the settings of a run, or None and an error for each setting that is wrong.

        Each is read once, since the file of a secret may be a pipe.
        """
        faults: list[SettingsError] = []

        def attempt(read: Callable[[], Any]) -> Any:
            try:
                return read()
            except SettingsError as error:
                faults.append(error)

        attempt(self._require_right_file)
        faults += self.values.undecodable()
        attempt(self.notices)  # a wrong one is refused with the others, before it is needed
        shared, of_account = (
            {name: attempt(partial(self._read, row)) for name, row in rows.items()}
            for rows in (SHARED, OF_ACCOUNT)
        )
        if faults:
            return None, list({str(fault): fault for fault in faults}.values())
        only_account = simulated.account_of(self._environ)
        account = AccountSettings(**of_account)
        return Settings(account=account, only_account=only_account, **shared), []

    def notices(self) -> NoticeSettings:
        """Read the settings of notices, even if others are wrong.

        Read once, since the file of a secret may be a pipe, which is empty the second time.
        """
        if self._notices is None:
            try:
                appid = self._read(APPID, required=False)
            except SettingsError:
                appid = None
            self._notices = NoticeSettings(
                appid=appid,
                state_folder=state_folder(self._environ),
                environ=without_secrets(self._environ),
                **{name: self._read(row) for name, row in OF_NOTICES.items()},
            )
        return self._notices

    def _read(self, setting: Setting, *, required: bool = True) -> Any:
        """Read a setting; a rehearsal must name its own database and the simulator's account."""
        if setting is DATABASE_URL and not self.names_database:
            simulated.require_no_default(self._environ)
            if self.origin is not None and self.origin.denied:
                # Most likely it names another database than the default in the current folder.
                raise self.values.missing("SYNCJOB_DATABASE_URL", "the database of the job")
        value = self.values.read(setting, required=required)
        if setting is APPID and value is not None:
            simulated.require_account(self._environ, value)
        return value

    def _require_sound(self) -> None:
        self._require_right_file()
        for fault in self.values.undecodable():
            raise fault

    def _require_right_file(self) -> None:
        if self.origin is not None and self.origin.fault is not None:
            raise self.origin.fault


def open_settings(
    path: str | None = None,
    *,
    tolerant: bool = False,
    folders: Sequence[Path] | None = None,
) -> SettingsReader:
    """Read the environment, and the TOML file that `path`, else SYNCJOB_CONFIG, names.

    Where neither names one, the first syncjob.toml in `folders` (None: /etc/syncjob, then the
    user's own) is read, if there is one. An empty `path` or SYNCJOB_CONFIG means no file.
    Raises SettingsError for a file with a fault; if `tolerant`, only once more than `notices` is
    read.
    """
    if path is None:
        path = os.environ.get("SYNCJOB_CONFIG")
        path = None if path is None else unquoted(path)
        if path is None and simulated.is_simulated(os.environ):
            path = ""  # a file at the usual places is the real job's
    found, absence = find_settings_file(
        path, usual_folders(os.environ) if folders is None else folders
    )
    if found is None:
        return SettingsReader(os.environ, absence=absence)
    if found.fault is not None and not tolerant:
        raise found.fault
    for name in found.exposed:
        logger.info(
            "Everybody on this machine can read %s, which holds %s; run: chmod o= %s",
            found.path,
            name,
            found.path,
        )
    return SettingsReader(os.environ, found.texts, origin=found)
