"""Daily API quotas and their use. Pure: no HTTP, no SQL."""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from syncjob.model.cleaning import integer
from syncjob.model.replies import MalformedReply

CHINA = timezone(timedelta(hours=8))


def quota_day(at: datetime) -> date:
    """Return the quota day of a call made at that instant: the date in Beijing.

    WeChat does not document when quotas are reset; midnight in Beijing is likely.
    """
    return at.astimezone(CHINA).date()


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls of one endpoint on one quota day; `cgi_path` looks like `/cgi-bin/user/get`."""

    day: date
    cgi_path: str
    calls: int


UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Failed:
    """Failed calls of one endpoint.

    `error` is the errcode, or UNANSWERED if no answer came or it could not be read.
    """

    cgi_path: str
    error: str
    calls: int


@dataclass(frozen=True, slots=True)
class QuotaInfo:
    """The answer of openapi/quota/get: one endpoint's day, for all programs of the account.

    (developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/openapi/get_api_quota.html)
    """

    daily_limit: int
    used: int
    remain: int

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "QuotaInfo":
        """Parse `{"quota": {"daily_limit": …, "used": …, "remain": …}}`, or raise MalformedReply.

        `remain` is required. A limit of 0 carries no information.
        """
        quota = body.get("quota")
        if not isinstance(quota, dict):
            raise MalformedReply("no quota")
        daily_limit, used = integer(quota.get("daily_limit")), integer(quota.get("used"))
        remain = integer(quota.get("remain"))
        if daily_limit is None or daily_limit <= 0 or remain is None:
            raise MalformedReply("a quota without daily_limit and remain")
        remain = min(max(0, remain), daily_limit)
        return cls(daily_limit, daily_limit - remain if used is None else max(0, used), remain)


def reserved_of(daily_limit: int, share: float | None) -> int:
    """Return how many of a day's calls are reserved, for a share from 0 to 1 (None: none)."""
    return math.ceil((share or 0) * daily_limit)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """One endpoint's day as stored in the database, read before a run's first call.

    `calls` were made by runs of this database; `exhausted`: WeChat has answered 45009; `total` is
    the number of followers that WeChat last reported.
    """

    calls: int = 0
    exhausted: bool = False
    total: int | None = None


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One endpoint's day as `syncjob quota` shows it.

    `calls` were made by runs of this database today. `used` counts those of all programs: the
    number that WeChat last reported (`used_when_told`) plus the runs' calls since. It is never
    less than `calls`, and None if WeChat has reported nothing today. `daily_limit` and `told_at`
    may be from an earlier day.
    """

    cgi_path: str
    calls: int
    used: int | None
    daily_limit: int | None
    left: int | None
    used_when_told: int | None
    told_at: datetime | None
    exhausted_at: datetime | None

    @classmethod
    def known(
        cls,
        cgi_path: str,
        *,
        calls: int,
        since: int,
        daily_limit: int | None,
        reported: int | None,
        told_at: datetime | None,
        exhausted_at: datetime | None,
        today: date,
    ) -> "QuotaUse":
        """Combine the stored facts; `since` is the number of the runs' calls after `told_at`."""
        used = None
        if reported is not None and told_at is not None and quota_day(told_at) == today:
            used = max(calls, reported + since)
        if exhausted_at is not None and quota_day(exhausted_at) != today:
            exhausted_at = None
        left = (
            None if daily_limit is None else max(0, daily_limit - (calls if used is None else used))
        )
        if exhausted_at is not None:
            left = 0
        return cls(cgi_path, calls, used, daily_limit, left, reported, told_at, exhausted_at)
