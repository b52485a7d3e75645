"""The state that each channel sent last: in the database, or in files while it is unreachable.

Without the files a database that stays down, or wrong settings, would be notified at every run."""

import json
import logging
from contextlib import suppress
from pathlib import Path

from syncjob.database.store import Store
from syncjob.errors import SyncjobError
from syncjob.files import atomic_write
from syncjob.notices.state import OK

logger = logging.getLogger(__name__)


class Files:
    """A file for each channel of an account; the folder may be missing or not writable.

    Without a folder, or an AppID for the file names, nothing is remembered, so that a notice may be
    sent twice.
    """

    def __init__(self, folder: Path | None, appid: str | None) -> None:
        self._folder = folder
        self._appid = appid

    def get(self, channel: str) -> str | None:
        """Return the state that was sent last, None if no valid file holds one."""
        path = self._path(channel)
        if path is None:
            return None
        try:
            state = json.loads(path.read_bytes())["state"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        return state if isinstance(state, str) else None

    def save(self, channel: str, state: str) -> None:
        """Write the state, atomically, to a file that only this user can read."""
        path = self._path(channel)
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_write(path, mode=0o600) as file:
                json.dump({"state": state}, file)
        except OSError as error:
            logger.warning(
                "Could not remember a notice, so it will be sent again. file=%s reason=%s",
                path,
                error.strerror,
            )

    def forget(self, channel: str) -> None:
        """Remove the file, if there is one."""
        path = self._path(channel)
        if path is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _path(self, channel: str) -> Path | None:
        if self._folder is None or self._appid is None:
            return None
        return self._folder / f"notice-{self._appid}-{channel}.json"


class Memory:
    """The states sent for one account; a file is newer than the database.

    `store` is None while the database cannot be used, or has no such account.
    """

    def __init__(self, files: Files, store: Store | None, account_id: int | None) -> None:
        self._files = files
        self._store = store
        self._account_id = account_id

    def get(self, channel: str) -> str:
        """Return the state that was sent last; `ok` if none was."""
        state = self._files.get(channel)
        if state is None and self._store is not None and self._account_id is not None:
            with suppress(SyncjobError):
                state = self._store.notices.get(self._account_id, channel)
        return state or OK

    def save(self, channel: str, state: str) -> None:
        """Save the state in the database and delete the file; else save it in the file."""
        if self._store is not None and self._account_id is not None:
            try:
                self._store.notices.save(self._account_id, channel, state)
            except SyncjobError:
                pass
            else:
                self._files.forget(channel)
                return
        self._files.save(channel, state)

    def adopt(self, channel: str) -> None:
        """Move the state from the file to the database, if there is one."""
        state = self._files.get(channel)
        if state is not None and self._store is not None:
            self.save(channel, state)
