"""Runs of the job, their counts and their API calls. Pure: no HTTP, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncjob.model.quota import Failed, Spent

# remove: blocks other runs of the account while it is removed.
Command = Literal["sync", "backfill", "remove"]
RunStatus = Literal["running", "succeeded", "failed", "interrupted", "abandoned"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """HTTP requests sent since the run began; `retries` counts the repeated ones.

    `spent` are the calls that count against WeChat's quotas, `failed` those that failed.
    """

    calls: int = 0
    retries: int = 0
    spent: tuple[Spent, ...] = ()
    failed: tuple[Failed, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of the job, its status and its counts."""

    id: int
    account_id: int
    command: Command
    status: RunStatus
    started_at: datetime
    heartbeat_at: datetime
    finished_at: datetime | None
    pages: int
    openids: int
    new: int
    returned: int
    enriched: int
    skipped: int
    unfollowed: int
    lagging: int
    calls: int
    retries: int
    errcode: int | None
    message: str | None
    rid: str | None
    holder: str | None
    exit_code: int | None

    @property
    def idle(self) -> bool:
        """Whether the run succeeded without a call, because nothing was due.

        Monitoring must not count it as a success, as it does not show that WeChat works. The SQL
        condition for the opposite is `tables.IS_NOT_IDLE`.
        """
        return self.status == "succeeded" and self.calls == 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all runs of an account, deleted runs included.

    `ended` counts runs by status, `idle` counts idle runs; `seconds` is their total duration;
    `counts` are the sums of their columns; `calls` are requests by API, `failed` the failed ones.
    """

    ended: Mapping[str, int]
    idle: int
    seconds: float
    counts: Mapping[str, int]
    calls: Mapping[str, int]
    failed: Sequence[Failed]
