"""Followers missing from WeChat's list, and the proof that they left. Pure: no HTTP, no SQL."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from syncjob.model.answers import UnionidConflict

# Why a follow period ended: `subscribe: 0`, or the rule of database/unfollows.py.
UnsubscribeReason = Literal["answered", "refused"]


@dataclass(frozen=True, slots=True)
class SweepSealed:
    """The result of sealing a sweep: the number of candidates, and whether they are parked.

    `listed_again`: followers who were candidates before, and are listed again.
    """

    candidates: int
    parked: bool
    listed_again: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subscribed follower that the last sealed sweep did not list.

    `following_at` is the last instant at which they are known to have followed; `attempts` is
    after how many sealed sweeps WeChat was asked about them without a usable answer.
    """

    openid: str = field(repr=False)
    following_at: datetime | None
    first_seen_at: datetime
    subscribe_time: datetime | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A subscribed follower missing from the list, about whom WeChat gives no usable answer.

    WeChat was asked after `attempts` sealed sweeps, and refused after the last `refusals` of them,
    the first of which began at `missed_since`. `errcode` is from the last refusal. The next
    attempt is at `next_try_at` or later.
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
    """The result of storing the answers about candidates.

    `conflicts`: unionids that contradict the database; nothing was stored for these OpenIDs.
    `refused`: how many follow periods ended because WeChat keeps refusing to answer.
    """

    conflicts: list[UnionidConflict]
    refused: int
