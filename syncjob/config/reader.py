"""Settings: read from the environment and a TOML file, checked, secrets hidden.

The only file that reads `os.environ`. It opens no connection; whether a database or a token server
answers is found out later.
"""

import difflib
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from syncjob.config import forms
from syncjob.config.file import SETTING_NAMES, exposed_secrets, read_settings_file
from syncjob.config.secrets import Secret, read_secret_file
from syncjob.errors import SettingsError
from syncjob.model import Allowance

TokenSourceName = Literal["stable", "classic", "url", "command", "fixed"]

DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg", "sqlite")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Which database, and which account in it (None: the only one there is)."""

    database_url: Secret
    appid: str | None


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run of the job needs.

    `sweep_every` None means `auto`, `refresh_after` None never, `quota_reserve` (0 to 1) None that
    no limit is kept to, `probe_after` 0 never; `timeout` is in seconds. What the token source does
    not need is empty. Address and command are kept out of the repr, since either may carry a
    password.
    """

    database_url: Secret
    appid: str
    appsecret: Secret
    api_url: str = field(repr=False)
    token_source: TokenSourceName
    token_url: Secret
    token_command: tuple[str, ...] = field(repr=False)
    access_token: Secret
    lang: str
    batch_size: int
    concurrency: int
    sweep_every: timedelta | None
    sweep_max_age: timedelta
    max_drift: Allowance
    max_unfollow: Allowance
    refresh_after: timedelta | None
    refresh_limit: int
    quota_reserve: float | None
    probe_after: int
    timeout: float
    metrics_file: Path | None


class SettingsReader:
    """Every setting's name, form and default, over one environment and one optional file.

    A variable of the environment wins over the file's, and NAME and NAME_FILE are two ways to say
    one thing: either of them hides both of the file's. Blank is not set. Raises SettingsError, one
    line that names the setting, what was found (never a secret) and what is expected.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        file: Mapping[str, str] | None = None,
        path: Path | None = None,
    ) -> None:
        self.path = path
        given, kept = _without_blanks(environ), _without_blanks(file or {})
        said = {name.removesuffix("_FILE") for name in given}
        self._values = given | {
            name: value for name, value in kept.items() if name.removesuffix("_FILE") not in said
        }

    @property
    def unknown(self) -> list[tuple[str, str | None]]:
        """Variables that look like settings and are none, each with the name nearest to it."""
        strange = self._values.keys() - SETTING_NAMES - {"SYNCJOB_CONFIG"}
        return [
            (name, next(iter(difflib.get_close_matches(name, SETTING_NAMES, n=1)), None))
            for name in sorted(strange)
            if name.startswith("SYNCJOB_")
        ]

    @property
    def exposed(self) -> list[str]:
        """Secrets in the settings file, if everybody on this machine can read that."""
        return [] if self.path is None else exposed_secrets(self.path)

    def names(self, name: str) -> bool:
        """Tell whether a setting was given, by itself or as a file."""
        return name in self._values or f"{name}_FILE" in self._values

    def database(self) -> DatabaseSettings:
        """Read what a command needs that only looks at the database."""
        return DatabaseSettings(self._database_url(), self._appid())

    def job(self) -> Settings:
        """Read all that a run of the job needs."""
        return Settings(**{name: read() for name, read in self._readers().items()})

    def faults(self) -> list[SettingsError]:
        """Return what is wrong with the settings of a run, each setting by itself."""
        found = []
        for read in self._readers().values():
            try:
                read()
            except SettingsError as error:
                found.append(error)
        return found

    def _readers(self) -> dict[str, Callable[[], Any]]:
        """Return how each field of Settings is read."""
        source = self._values.get("SYNCJOB_TOKEN_SOURCE", "stable")
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
            "sweep_every": lambda: parsed("SYNCJOB_SWEEP_EVERY", forms.sweep_every, "auto"),
            "sweep_max_age": lambda: parsed("SYNCJOB_SWEEP_MAX_AGE", forms.max_age, "1d"),
            "max_drift": lambda: parsed("SYNCJOB_MAX_DRIFT", forms.allowance, "50,1%"),
            "max_unfollow": lambda: parsed("SYNCJOB_MAX_UNFOLLOW", forms.allowance, "100,5%"),
            "refresh_after": lambda: parsed("SYNCJOB_REFRESH_AFTER", forms.refresh_after, "off"),
            "refresh_limit": lambda: parsed("SYNCJOB_REFRESH_LIMIT", forms.count, "10000"),
            "quota_reserve": lambda: parsed("SYNCJOB_QUOTA_RESERVE", forms.share, "20%"),
            "probe_after": lambda: parsed("SYNCJOB_PROBE_AFTER", forms.count_or_off, "3"),
            "timeout": lambda: parsed("SYNCJOB_TIMEOUT", forms.timeout, "30s"),
            "metrics_file": self._metrics_file,
        }

    # --- one setting each -----------------------------------------------------------------

    def _database_url(self) -> Secret:
        url = self._secret("SYNCJOB_DATABASE_URL") or Secret("sqlite:///syncjob.db")
        scheme, found, _ = url.reveal().partition("://")
        if not found or scheme not in DATABASE_SCHEMES:
            is_scheme = found and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme)
            kind = f"a {scheme!r} URL" if is_scheme else "no URL"
            raise SettingsError(
                f"SYNCJOB_DATABASE_URL is {kind}; expected postgresql://user@host/database "
                "or sqlite:////path/to/file.db"
            )
        return url

    def _needed_appid(self) -> str:
        appid = self._appid()
        if appid is None:
            raise self._missing("SYNCJOB_APPID", "the account's AppID, such as wx0123456789abcdef")
        return appid

    def _appid(self) -> str | None:
        appid = self._values.get("SYNCJOB_APPID")
        if appid is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", appid):
            raise SettingsError(
                f"SYNCJOB_APPID is {appid!r}; expected an AppID such as wx0123456789abcdef"
            )
        return appid

    def _token_url(self, needed: bool) -> Secret:
        name, meaning = "SYNCJOB_TOKEN_URL", "the http(s) address of your token server"
        if not needed:
            return Secret("")
        if not self._values.get(name):
            raise self._missing(name, f"{meaning}, since SYNCJOB_TOKEN_SOURCE is url")
        # A Secret, because such addresses often carry a key in their query.
        if not forms.is_http_url(self._values[name]):
            raise SettingsError(f"{name} is no http(s) address; expected {meaning}")
        return Secret(self._values[name])

    def _token_command(self, needed: bool) -> tuple[str, ...]:
        name = "SYNCJOB_TOKEN_COMMAND"
        if not needed:
            return ()
        command = self._values.get(name, "")
        if "\0" in command:
            raise SettingsError(f"{name} holds a NUL character; expected a command to run")
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise SettingsError(
                f"{name} cannot be split into words ({error}); quote it as for a shell"
            ) from None
        if not words:
            raise self._missing(name, "the command to run, since SYNCJOB_TOKEN_SOURCE is command")
        return words

    def _api_url(self) -> str:
        name, default = "SYNCJOB_API_URL", "https://api.weixin.qq.com"
        url = self._values.get(name, default)
        if not forms.is_http_url(url) or "?" in url or "#" in url:
            # What follows these, or stands before an @, may be a password.
            found = "an address with ? or # or @" if re.search("[@?#]", url) else repr(url)
            raise SettingsError(f"{name} is {found}; expected an address such as {default}")
        return url.rstrip("/")

    def _metrics_file(self) -> Path | None:
        path = self._values.get("SYNCJOB_METRICS_FILE")
        if path is None:
            return None
        if not path.endswith(".prom"):  # the collector passes over every other name
            raise SettingsError(
                f"SYNCJOB_METRICS_FILE is {path!r}; expected a path that ends with .prom, such as "
                "/var/lib/prometheus/node-exporter/syncjob.prom"
            )
        return Path(path)

    # --- forms ----------------------------------------------------------------------------

    def _one_of(self, name: str, choices: tuple[str, ...], default: str) -> Any:
        value = self._values.get(name, default)
        if value not in choices:
            raise SettingsError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
        return value

    def _parsed(self, name: str, parse: Callable[[str], T], default: str) -> T:
        value = self._values.get(name, default)
        try:
            return parse(value)
        except ValueError as error:
            raise SettingsError(f"{name} is {value!r}; expected {error}") from None

    def _needed_secret(self, name: str, meaning: str, needed: bool) -> Secret:
        if not needed:
            return Secret("")
        secret = self._secret(name)
        if secret is None:
            raise self._missing(f"{name} (or {name}_FILE)", meaning)
        return secret

    def _secret(self, name: str) -> Secret | None:
        """Read `NAME`, or the file that `NAME_FILE` names, without the blanks around it."""
        value, path = self._values.get(name), self._values.get(f"{name}_FILE")
        if value and path:
            raise SettingsError(f"{name} and {name}_FILE are both set; expected only one of them")
        if path:
            value = read_secret_file(f"{name}_FILE", path)
        if value and not value.isprintable():
            raise SettingsError(
                f"{name} holds a line break or a control character; check its quoting"
            )
        return Secret(value) if value else None

    def _missing(self, name: str, meaning: str) -> SettingsError:
        others = {other.upper(): other for other in self._values if other not in SETTING_NAMES}
        near = difflib.get_close_matches(name.split()[0], others, n=1, cutoff=0.8)
        hint = f" (did you mean it by {others[near[0]]}?)" if near else ""
        return SettingsError(f"{name} is not set; expected {meaning}{hint}")


def open_settings(path: str | None = None) -> SettingsReader:
    """Read the environment and the TOML file named by `path` or SYNCJOB_CONFIG, if either is."""
    path = path or os.environ.get("SYNCJOB_CONFIG") or None
    if path is None:
        return SettingsReader(os.environ)
    return SettingsReader(os.environ, read_settings_file(Path(path)), Path(path))


def _without_blanks(values: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, value in values.items() if (text := value.strip())}
