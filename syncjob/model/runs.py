"""Runs of the job, and what they have spent and done. Pure: no HTTP, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncjob.model.quota import Failed, Spent

# remove: holds the place of a run while its account is removed.
Command = Literal["sync", "backfill", "remove"]
RunStatus = Literal["running", "succeeded", "failed", "interrupted", "abandoned"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """HTTP requests sent since the run began; `retries` are those of them that repeat another.

    `spent` are those of them that count against WeChat's quotas, `failed` those that brought an
    error.
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
        """Tell whether it succeeded without asking WeChat anything, since nothing was due.

        Such a run says nothing of WeChat: it is no success to watch for. In the database,
        `tables.IS_NOT_IDLE` is the contrary.
        """
        return self.status == "succeeded" and self.calls == 0


@dataclass(frozen=True, slots=True)
class Totals:
    """What all runs of an account have done together, those that were deleted among them.

    `ended` counts runs by status, `idle` those of them that had nothing to do; `seconds` is how
    long they took; `counts` adds up their columns; `calls` are requests by API,
    `failed` those of them that brought an error.
    """

    ended: Mapping[str, int]
    idle: int
    seconds: float
    counts: Mapping[str, int]
    calls: Mapping[str, int]
    failed: Sequence[Failed]
