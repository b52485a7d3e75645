"""Settings: read from the environment and a TOML file, checked, secrets hidden.

The only file that reads `os.environ`. It opens no connection; whether a database or a token server
answers is found out later.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from syncjob.config import forms, simulated
from syncjob.config.file import SETTING_NAMES, SettingsFile, nearest
from syncjob.config.located import absence_of, find_settings_file, usual_folders
from syncjob.config.notices import NoticeSettings, WebhookFormat, state_folder, without_secrets
from syncjob.config.secrets import Secret
from syncjob.config.settings import DatabaseSettings, Settings, TokenSourceName
from syncjob.config.texts import oddity_of, unquoted
from syncjob.config.values import Values
from syncjob.errors import SettingsError

logger = logging.getLogger(__name__)

# As the files of deploy/ and the pages show it; nobody's.
EXAMPLE_APPID = "wx0123456789abcdef"
# What stands in other people's pages: wxYOURAPPID, APPID, wxxxxxxxxxxxxxxxxx.
PLACEHOLDER = re.compile(r"(wx[_-]?)?your[_-]?app[_-]?id|app[_-]?id|wxx{3,}", re.IGNORECASE)
DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg", "sqlite")


class SettingsReader(Values):
    """Every setting's name, form and default, over one environment and one optional file."""

    def __init__(
        self,
        environ: Mapping[str, str],
        file: Mapping[str, str] | None = None,
        *,
        origin: SettingsFile | None = None,
        absence: str = "",
    ) -> None:
        """`origin` is where `file` is from; wrong, it lets none but `notices` be read.

        `absence` says why there is none.
        """
        self.origin = origin
        self._environ = environ
        self._notices: NoticeSettings | None = None
        kept = simulated.usable(environ, file or {})
        super().__init__(environ, kept, absence=absence or absence_of(origin))

    @property
    def why_default_database(self) -> str | None:
        """Say why no setting names the database, so that it is the default; None if one does."""
        if self.names("SYNCJOB_DATABASE_URL"):
            return None
        return f"SYNCJOB_DATABASE_URL is not set; {self.absence}"

    @property
    def unknown(self) -> list[tuple[str, str | None]]:
        """Variables that look like settings and are none, each with the name nearest to it."""
        strange = self._values.keys() - SETTING_NAMES - {"SYNCJOB_CONFIG", simulated.MARK}
        return [(name, nearest(name)) for name in sorted(strange) if name.startswith("SYNCJOB_")]

    def names(self, name: str) -> bool:
        """Tell whether a setting was given, by itself or as a file."""
        return name in self._values or f"{name}_FILE" in self._values

    def database(self) -> DatabaseSettings:
        """Read what a command needs that only looks at the database."""
        self._require_sound()
        return DatabaseSettings(
            self._database_url(), self._appid(), simulated.account_of(self._environ)
        )

    def sweep_every(self) -> timedelta | None:
        """Read how often the list is read; None means `auto`."""
        self._require_sound()
        return self._parsed("SYNCJOB_SWEEP_EVERY", forms.sweep_every, "auto")

    def job(self) -> Settings:
        """Read all that a run of the job needs."""
        self._require_sound()
        self.notices()  # a wrong one is refused with the others, before it is needed
        return Settings(**{name: read() for name, read in self._readers().items()})

    def examine(self) -> tuple[Settings | None, list[SettingsError]]:
        """Return the settings of a run, or None and what is wrong, each setting by itself.

        Each is read once, since the file of a secret may be a pipe.
        """
        read_values: dict[str, Any] = {}
        faults = []

        def attempt(name: str | None, read: Callable[[], Any]) -> None:
            try:
                value = read()
            except SettingsError as error:
                faults.append(error)
            else:
                if name is not None:
                    read_values[name] = value

        attempt(None, self._require_right_file)
        faults += self.undecodable()
        attempt(None, self.notices)
        for name, read in self._readers().items():
            attempt(name, read)
        faults = list({str(fault): fault for fault in faults}.values())
        return (None if faults else Settings(**read_values)), faults

    def _readers(self) -> dict[str, Callable[[], Any]]:
        """Return how each field of Settings is read."""
        source = self._values.get("SYNCJOB_TOKEN_SOURCE", "stable")  # a wrong one is refused below
        parsed = self._parsed
        return {
            "database_url": self._database_url,
            "appid": self._needed_appid,
            "appsecret": lambda: self._needed_secret(
                "SYNCJOB_APPSECRET", "the account's AppSecret", source in ("stable", "classic")
            ),
            "api_url": self._api_url,
            "token_source": lambda: self._one_of(
                "SYNCJOB_TOKEN_SOURCE", get_args(TokenSourceName), "stable"
            ),
            "token_url": lambda: self._token_url(source == "url"),
            "token_command": lambda: self._token_command(source == "command"),
            "access_token": lambda: self._needed_secret(
                "SYNCJOB_ACCESS_TOKEN", "the token to use", source == "fixed"
            ),
            "lang": lambda: self._one_of("SYNCJOB_LANG", ("zh_CN", "zh_TW", "en"), "zh_CN"),
            "batch_size": lambda: parsed("SYNCJOB_BATCH_SIZE", forms.batch_size, "100"),
            "concurrency": lambda: parsed("SYNCJOB_CONCURRENCY", forms.concurrency, "8"),
            "sweep_every": self.sweep_every,
            "sweep_max_age": lambda: parsed("SYNCJOB_SWEEP_MAX_AGE", forms.max_age, "1d"),
            "max_drift": lambda: parsed("SYNCJOB_MAX_DRIFT", forms.allowance, "50,1%"),
            "max_unfollow": lambda: parsed("SYNCJOB_MAX_UNFOLLOW", forms.allowance, "100,5%"),
            "refresh_after": lambda: parsed("SYNCJOB_REFRESH_AFTER", forms.refresh_after, "off"),
            "refresh_limit": lambda: parsed("SYNCJOB_REFRESH_LIMIT", forms.count, "10000"),
            "quota_reserve": lambda: parsed("SYNCJOB_QUOTA_RESERVE", forms.share, "20%"),
            "probe_after": lambda: parsed("SYNCJOB_PROBE_AFTER", forms.count_or_off, "3"),
            "timeout": lambda: parsed("SYNCJOB_TIMEOUT", forms.timeout, "30s"),
            "metrics_file": self._metrics_file,
            "only_account": lambda: simulated.account_of(self._environ),
            "keep_runs": lambda: parsed("SYNCJOB_KEEP_RUNS", forms.keep_runs, "400d"),
        }

    def notices(self) -> NoticeSettings:
        """Read who is to be told of failures, and how; other settings may be wrong.

        Read once, since the file of a secret may be a pipe, which is empty the second time.
        """
        if self._notices is None:
            try:
                appid = self._appid()
            except SettingsError:
                appid = None
            self._notices = NoticeSettings(
                appid=appid,
                command=self._words("SYNCJOB_ON_FAILURE"),
                webhook_url=self._webhook_url(),
                webhook_format=self._one_of(
                    "SYNCJOB_WEBHOOK_FORMAT", get_args(WebhookFormat), "auto"
                ),
                state_folder=state_folder(self._environ),
                environ=without_secrets(self._environ),
            )
        return self._notices

    def _require_sound(self) -> None:
        self._require_right_file()
        for fault in self.undecodable():
            raise fault

    def _require_right_file(self) -> None:
        if self.origin is not None and self.origin.fault is not None:
            raise self.origin.fault

    # --- one setting each -----------------------------------------------------------------

    def _database_url(self) -> Secret:
        url = self._secret("SYNCJOB_DATABASE_URL")
        if url is None:
            simulated.require_no_default(self._environ)
        if url is None and self.origin is not None and self.origin.denied:
            # It names another one, most likely, than the default in the current folder.
            raise self._missing("SYNCJOB_DATABASE_URL", "the database of the job")
        url = url or Secret("sqlite:///syncjob.db")
        scheme, found, _ = url.reveal().partition("://")
        if not found or scheme not in DATABASE_SCHEMES:
            is_scheme = found and re.fullmatch(r"(jdbc:)?[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme)
            kind = f"a {scheme!r} URL" if is_scheme else "no URL"
            names_driver = is_scheme and re.search("[+:]", scheme)
            hint = " (the drivers come with syncjob)" if names_driver else ""
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL is {kind}; expected postgresql://user@host/database "
                f"or sqlite:////path/to/file.db{hint}"
            )
        return url

    def _needed_appid(self) -> str:
        appid = self._appid()
        if appid is None:
            raise self._missing("SYNCJOB_APPID", f"the account's AppID, such as {EXAMPLE_APPID}")
        return appid

    def _appid(self) -> str | None:
        appid = self._text("SYNCJOB_APPID")
        if appid is None:
            return None
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", appid):
            raise SettingsError(
                f"SYNCJOB_APPID is {appid!r}{oddity_of(appid)}; expected an AppID such as "
                f"{EXAMPLE_APPID}"
            )
        if appid.lower() == EXAMPLE_APPID or PLACEHOLDER.fullmatch(appid):
            raise SettingsError(
                f"SYNCJOB_APPID is {appid!r}, the placeholder of an example; expected the AppID "
                "of your account"
            )
        simulated.require_account(self._environ, appid)
        return appid

    def _token_url(self, needed: bool) -> Secret:
        name, meaning = "SYNCJOB_TOKEN_URL", "the http(s) address of your token server"
        if not needed:
            return Secret("")
        url = self._text(name)
        if url is None:
            raise self._missing(name, f"{meaning}, since SYNCJOB_TOKEN_SOURCE is url")
        # A Secret, because such addresses often carry a key in their query.
        if not forms.is_http_url(url):
            raise SettingsError(f"{name} is no http(s) address; expected {meaning}")
        return Secret(url)

    def _token_command(self, needed: bool) -> tuple[str, ...]:
        name = "SYNCJOB_TOKEN_COMMAND"
        if not needed:
            return ()
        words = self._words(name)
        if not words:
            raise self._missing(name, "the command to run, since SYNCJOB_TOKEN_SOURCE is command")
        return words

    def _webhook_url(self) -> Secret | None:
        url = self._secret("SYNCJOB_WEBHOOK_URL")
        if url is not None and not forms.is_http_url(url.reveal()):
            raise SettingsError(
                "SYNCJOB_WEBHOOK_URL is no http(s) address; expected that of a bot or of a server "
                "of yours"
            )
        return url

    def _api_url(self) -> str:
        name, default = "SYNCJOB_API_URL", "https://api.weixin.qq.com"
        url = self._text(name) or default
        if not forms.is_http_url(url) or "?" in url or "#" in url:
            # What follows these, or stands before an @, may be a password.
            found = "an address with ? or # or @" if re.search("[@?#]", url) else repr(url)
            raise SettingsError(f"{name} is {found}; expected an address such as {default}")
        return url.rstrip("/")

    def _metrics_file(self) -> Path | None:
        path = self._text("SYNCJOB_METRICS_FILE")
        if path is None:
            return None
        if not path.endswith(".prom"):  # the collector passes over every other name
            raise SettingsError(
                f"SYNCJOB_METRICS_FILE is {path!r}; expected a path that ends with .prom, such as "
                "/var/lib/prometheus/node-exporter/syncjob.prom"
            )
        return Path(path)


def open_settings(
    path: str | None = None,
    *,
    tolerant: bool = False,
    folders: Sequence[Path] | None = None,
) -> SettingsReader:
    """Read the environment, and the TOML file that `path`, else SYNCJOB_CONFIG, names.

    Where neither names one, the first syncjob.toml in `folders` (None: /etc/syncjob, then the
    user's own) is read, if there is one. An empty `path` or SYNCJOB_CONFIG means that no file is.
    A wrong file is refused; if `tolerant`, only when more of it than `notices` is asked for.
    """
    if path is None:
        path = os.environ.get("SYNCJOB_CONFIG")
        path = None if path is None else unquoted(path)
        if path is None and simulated.is_simulated(os.environ):
            path = ""  # what lies at the usual places is the real job's
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
