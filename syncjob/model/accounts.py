"""Accounts, and what the database knows of one. Pure: no HTTP, no SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncjob.model.quota import QuotaUse
from syncjob.model.runs import Run
from syncjob.model.sweeps import Sweep


@dataclass(frozen=True, slots=True)
class Account:
    """One Official Account, the backfill that was last asked of it, and its parked unfollows.

    `unionids_missing_at`: since when it is known that WeChat sends unionids, and that profiles
    fetched earlier have none. `hash_key` is the key of the hashes that stand for its OpenIDs in
    logs.
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
        """Tell whether a backfill was started and has not come to its end."""
        return self.backfill_started_at is not None and self.backfill_finished_at is None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account has fared lately: the exit codes of its last runs, the newest first.

    Those that a signal, a kill or another run has ended are not among them, nor the idle ones.
    `last_success_at` is the end of the last run that WeChat has answered.
    """

    exit_codes: tuple[int | None, ...]
    last_success_at: datetime | None
    as_of: datetime


@dataclass(frozen=True, slots=True)
class FollowerCount:
    """How many followed at some moment, as far as the bounds of their periods tell.

    `complete_since` is when the first sweep was sealed; who left before that is unknown, so that
    `at_most` is None of an earlier moment, and where there has been none.
    """

    at_least: int
    at_most: int | None
    complete_since: datetime | None


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is in the database about one account, as `syncjob status` shows it.

    `openid_prefix` is what all OpenIDs begin with, None if they do not begin alike.
    `last_run` is the last one that has ended, `last_asking_run` the last of them that was not idle.
    `last_success_at` is the end of the last one that succeeded and that WeChat has answered.
    """

    account: Account
    openid_prefix: str | None
    followers: int
    subscribed: int
    unenriched: int
    quarantined: int
    candidates: int
    unanswered: int
    refused: int  # of these
    quotas: list[QuotaUse]
    open_sweep: Sweep | None
    sealed_sweep: Sweep | None
    running: Run | None
    last_run: Run | None
    last_asking_run: Run | None
    calls: Mapping[int, Mapping[str, int]]  # of these three, by run and API
    last_success_at: datetime | None
    as_of: datetime
