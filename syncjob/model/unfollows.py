"""Who is missing from WeChat's list, and what was found out about them. Pure: no HTTP, no SQL."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from syncjob.model.answers import UnionidConflict

# Why a follow period ended: `subscribe: 0`, or the rule of database/unfollows.py.
UnsubscribeReason = Literal["answered", "refused"]


@dataclass(frozen=True, slots=True)
class SweepSealed:
    """What sealing a sweep found: subscribed followers whom it did not list, too many or not.

    `listed_again`: followers who had been candidates until now.
    """

    candidates: int
    parked: bool
    listed_again: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subscribed follower whom the last sealed sweep did not list.

    `following_at` is when they certainly still followed, as far as is known; `attempts` after how
    many sealed sweeps WeChat was asked about them in vain.
    """

    openid: str = field(repr=False)
    following_at: datetime | None
    first_seen_at: datetime
    subscribe_time: datetime | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A subscribed follower who is missing from the list, and of whom WeChat does not say more.

    It was asked after `attempts` sealed sweeps, and has refused after the last `refusals` of them,
    the first of which began at `missed_since`. `errcode` is of the last refusal. They are not asked
    about before `next_try_at`.
    """

    openid: str = field(repr=False)
    following_at: datetime | None
    missed_since: datetime | None
    attempts: int
    refusals: int
    errcode: int | None
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProofsSaved:
    """What deciding candidates met.

    `conflicts`: where unionids contradict what is stored; of these people nothing was stored.
    `refused`: how many follow periods have ended since WeChat refuses to speak of the person.
    """

    conflicts: list[UnionidConflict]
    refused: int
