"""Runs the checks one after another; findings are yielded as soon as they are known."""

from collections.abc import Generator, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from syncjob.config import Settings, SettingsReader
from syncjob.database.store import Store, open_store
from syncjob.doctor.database import check_database, is_usable
from syncjob.doctor.findings import Finding, Level, from_error, guarded, note, unchecked
from syncjob.doctor.history import DISTRUSTED, check_history
from syncjob.doctor.network import check_network
from syncjob.doctor.schedule import check_schedule
from syncjob.doctor.settings import (
    check_choices,
    check_metrics_file,
    check_notices,
    check_settings,
)
from syncjob.doctor.wechat import check_wechat
from syncjob.errors import SettingsError, SyncjobError
from syncjob.job.identity import OwnList
from syncjob.job.process import is_dead
from syncjob.job.timing import next_sweep_at
from syncjob.model.accounts import Account
from syncjob.model.health import Health
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Run

RUNS = 20  # the newest, searched for an error with a rid


class Examination:
    """Checks all that a run of the settings' account needs; changes nothing.

    A last success older than `max_age` is a fault. With `offline`, WeChat is not asked. `root` is
    the root of the file system, for tests.
    """

    def __init__(
        self,
        reader: SettingsReader,
        *,
        max_age: timedelta,
        offline: bool = False,
        root: Path = Path("/"),
    ) -> None:
        self._reader = reader
        self._max_age = max_age
        self._offline = offline
        self._root = root
        self._health: Health | None = None
        self._token: str | None = None
        self._openid: str | None = None
        self._last_error: Run | None = None
        self._account: Account | None = None

    def findings(self) -> Iterator[Finding]:
        """Yield the findings of each check; a check that fails itself yields a fault."""
        settings: Settings | None = None

        def of_settings() -> Iterator[Finding]:
            nonlocal settings
            settings = yield from self._settings()

        yield from guarded("settings", of_settings)
        yield from guarded("database", lambda: self._database(settings))
        yield from guarded("schedule", lambda: check_schedule(self._root))
        yield from guarded("wechat", lambda: self._of_wechat(settings))

    def _settings(self) -> Generator[Finding, None, Settings | None]:
        settings, faults = self._reader.examine()
        yield from check_settings(self._reader, faults)
        if settings is not None:
            yield from check_choices(settings, names_database=self._reader.names_database)
            yield from check_metrics_file(settings)
            yield from check_notices(self._reader.notices())
        return settings

    def _of_wechat(self, settings: Settings | None) -> Iterator[Finding]:
        if settings is None:
            yield unchecked("wechat", "the settings are wrong")
        elif self._offline:
            yield unchecked("wechat", "--offline")
        else:
            yield from self._wechat(settings)

    def _database(self, job: Settings | None) -> Iterator[Finding]:
        try:  # valid settings are not read twice: the file of a secret may be a pipe
            settings = job or self._reader.database()
        except SettingsError:  # reported by the first check
            yield unchecked("database", "the settings are wrong")
            return
        appid = settings.account.appid if isinstance(settings, Settings) else settings.appid
        url, name = settings.database_url.reveal(), f"syncjob/{appid or ''}"
        self._health, findings = check_database(url, name=name)
        yield from findings
        if not is_usable(self._health):
            yield unchecked("history", "the database cannot be used")
            return
        try:
            with open_store(
                url,
                name=name,
                only_account=settings.only_account,
                patience=settings.database_patience,
            ) as store:
                yield from self._history(store, appid, job)
        except SyncjobError as error:
            yield from_error("history", error)

    def _history(self, store: Store, appid: str | None, job: Settings | None) -> Iterator[Finding]:
        appids = store.accounts.get_appids()
        if appid is None and len(appids) == 1:
            appid = appids[0]
        account = None if appid is None else store.accounts.get(appid)
        if account is None:
            others = f", which holds {', '.join(appids)}" if appids else ""
            who = f"{appid} is not in the database yet{others}" if appid else "no account is named"
            yield note("success", who, "start with: syncjob -v sync")
            return
        yield from self._stored_history(
            store, account, None if job is None else job.account.sweep_every
        )

    def _stored_history(
        self, store: Store, account: Account, every: timedelta | None
    ) -> Iterator[Finding]:
        status = store.reports.get_status(account)
        died = status.running is not None and is_dead(status.running.holder or "")
        sweeps = store.sweeps.get_newest(account.id, DISTRUSTED)
        self._account = account
        yield from check_history(
            status,
            sweeps=sweeps,
            next_sweep_at=next_sweep_at(store, account, every),
            max_age=self._max_age,
            died=died,
        )
        self._token = store.tokens.get(account.id)
        self._openid = store.followers.find_openid(account.id)
        runs = store.runs.get_latest(account.id, RUNS)
        self._last_error = next((run for run in runs if run.rid is not None), None)

    def _wechat(self, settings: Settings) -> Iterator[Finding]:
        now = None if self._health is None else self._health.now
        found = check_network(settings, database_now=now)
        yield from found
        if any(one.level == Level.FAULT for one in found):
            yield unchecked("token", "WeChat cannot be reached")
            return
        yield from check_wechat(
            settings,
            stored_token=self._token,
            openid=self._openid,
            last_error=self._last_error,
            require_own=partial(self._require_own, settings),
        )

    def _require_own(self, settings: Settings, page: FollowerPage, token_source: str) -> None:
        """Raise ForeignList if the first page shares no follower with the stored ones."""
        if self._account is None:
            return
        url = settings.database_url.reveal()
        with open_store(
            url, name=f"syncjob/{settings.account.appid}", patience=settings.database_patience
        ) as store:
            own = OwnList(store, self._account, get_token_source=lambda: token_source)
            own.require_own("", page)
