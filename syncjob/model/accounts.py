"""Accounts and their state in the database. Pure: no HTTP, no SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncjob.model.quota import QuotaUse
from syncjob.model.runs import Run
from syncjob.model.sweeps import Sweep


@dataclass(frozen=True, slots=True)
class Account:
    """One Official Account, its latest backfill and its parked unfollows.

    `unionids_missing_at` is set when WeChat begins to send unionids while stored profiles have
    none. `hash_key` is the key of the account's pseudonyms.
    """

    id: int
    appid: str
    parked_at: datetime | None = None
    backfill_started_at: datetime | None = None
    backfill_finished_at: datetime | None = None
    hash_key: str | None = field(default=None, repr=False)
    unionids_missing_at: datetime | None = None

    @property
    def backfilling(self) -> bool:
        """Return whether a backfill was started and has not finished."""
        return self.backfill_started_at is not None and self.backfill_finished_at is None


@dataclass(frozen=True, slots=True)
class Standing:
    """The exit codes of an account's recent runs, newest first.

    Interrupted, abandoned and idle runs are left out. `last_success_at` is the end of the last
    successful run that called WeChat.
    """

    exit_codes: tuple[int | None, ...]
    last_success_at: datetime | None
    as_of: datetime


@dataclass(frozen=True, slots=True)
class FollowerCount:
    """The number of followers at one instant, as far as the bounds of the follow periods allow.

    `complete_since` is when the first sweep was sealed. Nobody knows who left before that, so
    `at_most` is None for an earlier instant, and if no sweep was sealed yet.
    """

    at_least: int
    at_most: int | None
    complete_since: datetime | None


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The state of one account in the database, as `syncjob status` shows it.

    `openid_prefix` is the common prefix of all OpenIDs, None if there is none. `last_run` is the
    last finished run, `last_asking_run` the last finished run that was not idle.
    `last_success_at` is the end of the last successful run that called WeChat.
    """

    account: Account
    openid_prefix: str | None
    followers: int
    subscribed: int
    unenriched: int
    quarantined: int
    candidates: int
    unanswered: int
    refused: int  # of the unanswered
    quotas: list[QuotaUse]
    open_sweep: Sweep | None
    sealed_sweep: Sweep | None
    running: Run | None
    last_run: Run | None
    last_asking_run: Run | None
    calls: Mapping[int, Mapping[str, int]]  # of the three runs above, by run ID and API
    step_counts: Mapping[int, Mapping[str, int]]  # likewise, by run and name
    last_success_at: datetime | None
    as_of: datetime
