"""Sweeps of the follower list, and what storing a page of one changed. Pure: no HTTP, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

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
