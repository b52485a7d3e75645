"""Sweeps of the follower list, and the result of storing a page. Pure: no HTTP, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

SweepStatus = Literal["open", "sealed", "discarded"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """A count and a share (0 to 1). A number exceeds the allowance if it is more than both."""

    count: int
    share: float

    def exceeded_by(self, number: int, *, of: int) -> bool:
        """Return whether `number` is more than the count and more than the share of `of`."""
        return number > max(self.count, self.share * of)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the follower list; `next_openid` is its cursor, "" before the first page."""

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
    """The result of storing a page.

    `fresh`: OpenIDs new to this sweep; `new`: followers new to the database; `returned`: followers
    who had been marked as gone. `led_back`: the page's cursor is an OpenID of an earlier page of
    this sweep. `due`: the page's OpenIDs whose profiles must be fetched.
    """

    sweep: Sweep
    fresh: int
    new: int
    returned: int
    led_back: bool
    due: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldPages:
    """Pages of a first sweep that are stored only after the profiles of their OpenIDs.

    `pages`: for each OpenID that an answer may insert, the number of its page, from 1. The
    inserted row records that this page listed it first.
    """

    sweep_id: int = 0
    pages: Mapping[str, int] = field(default_factory=dict, repr=False)
