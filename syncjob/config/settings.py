"""The settings of a run, checked, as frozen values."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from syncjob.config.secrets import Secret
from syncjob.model import Allowance

TokenSourceName = Literal["stable", "classic", "url", "command", "fixed"]


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Which database, and which account in it (None: the only one there is).

    `only_account` is the only one that the database may hold; None: it may hold any.
    """

    database_url: Secret
    appid: str | None
    only_account: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a run of the job needs.

    `sweep_every` None means `auto`, `refresh_after` None never, `keep_runs` None for ever,
    `quota_reserve` (0 to 1) None that no limit is kept to, `probe_after` 0 never; `timeout` is in
    seconds. `only_account` is the only one that the database may hold; None: it may hold any. What
    the token source does not need is empty. Address and command are kept out of the repr, since
    either may carry a password.
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
    keep_runs: timedelta | None
    only_account: str | None = None
