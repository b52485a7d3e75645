"""What the job remembers, and what it found out, as frozen values. Pure: no HTTP, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Literal

from syncjob.model.quota import Failed, QuotaUse, Spent
from syncjob.model.user_info import UserInfo

# remove: holds the place of a run while its account is removed.
Command = Literal["sync", "backfill", "remove"]
RunStatus = Literal["running", "succeeded", "failed", "interrupted", "abandoned"]
SweepStatus = Literal["open", "sealed", "discarded"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A number and a share (0 to 1); what is more than both exceeds it."""

    count: int
    share: float

    def exceeded_by(self, number: int, *, of: int) -> bool:
        """Tell whether `number` is more than the count and more than the share of `of`."""
        return number > max(self.count, self.share * of)


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
class Sweep:
    """One pass over the whole follower list; `next_openid` is its cursor, "" before page one."""

    id: int
    account_id: int
    status: SweepStatus
    started_at: datetime
    finished_at: datetime | None
    next_openid: str = field(repr=False)
    pages: int
    openids: int
    total_first: int | None
    total_last: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class PageSaved:
    """What storing a page changed.

    `fresh`: OpenIDs this sweep had not seen; `new`: followers this database had not seen;
    `returned`: followers that had been marked as gone. `led_back`: the page's cursor is an OpenID
    of an earlier page of this sweep. `due`: the page's OpenIDs that are to be asked about.
    """

    sweep: Sweep
    fresh: int
    new: int
    returned: int
    led_back: bool
    due: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldPages:
    """Pages of a sweep that wait to be stored until WeChat has answered about their people.

    `pages`: the number of the page, from 1, of each OpenID that an answer is to add. Its row is
    noted as listed first by that page.
    """

    sweep_id: int = 0
    pages: Mapping[str, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An OpenID that WeChat refused by itself, or whose answer is not to be believed."""

    openid: str = field(repr=False)
    errcode: int | None
    reason: str
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What WeChat says of some OpenIDs: each of them is in exactly one of these.

    `following` and `gone` are sure; `missing` got no answer that decides anything. `ends` are the
    places in `following` at which an answer of batchget ends, in its order.
    """

    following: list[UserInfo] = field(default_factory=list)
    gone: list[str] = field(default_factory=list, repr=False)
    missing: list[str] = field(default_factory=list, repr=False)
    refused: list[Refusal] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.following) + len(self.gone) + len(self.missing) + len(self.refused)

    @property
    def openids(self) -> list[str]:
        """Whom they are about."""
        following = [info.openid for info in self.following]
        refused = [refusal.openid for refusal in self.refused]
        return [*following, *self.gone, *self.missing, *refused]

    @property
    def batches(self) -> list[list[UserInfo]]:
        """Those who follow, by the answer that they stood in."""
        places = [0, *self.ends, len(self.following)]
        return [self.following[start:end] for start, end in pairwise(places) if start < end]

    def add_batch(self, infos: Sequence[UserInfo]) -> None:
        """Add one answer about followers, in its order."""
        self.following.extend(infos)
        self.ends.append(len(self.following))

    def extend(self, others: "Answers") -> None:
        """Add what WeChat says of others."""
        self.ends.extend(len(self.following) + end for end in others.ends)
        self.following.extend(others.following)
        self.gone.extend(others.gone)
        self.missing.extend(others.missing)
        self.refused.extend(others.refused)


@dataclass(frozen=True, slots=True)
class UnionidConflict:
    """An answer's unionid that is not the stored one, or that two OpenIDs claim (stored: None).

    `is_plain`: the unionid took another one's place, and no other OpenID has it.
    """

    openid: str = field(repr=False)
    told: str = field(repr=False)
    stored: str | None = field(repr=False)
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class AnswersSaved:
    """What storing answers met.

    `conflicts`: where unionids contradict what is stored; of these people nothing was stored.
    `known`: whom of the held pages' people were there already.
    """

    conflicts: list[UnionidConflict]
    known: list[str] = field(repr=False)


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
    step_counts: Mapping[int, Mapping[str, int]]  # of these three, by run and name
    last_success_at: datetime | None
    as_of: datetime
