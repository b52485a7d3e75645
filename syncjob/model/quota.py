"""What WeChat lets an account ask in a day, and what is spent of it. Pure: no HTTP, no SQL."""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from syncjob.model.cleaning import integer
from syncjob.model.replies import MalformedReply

CHINA = timezone(timedelta(hours=8))


def quota_day(at: datetime) -> date:
    """Return the day against whose quota a call at that moment counts.

    A day of Beijing's. When quotas are set back is promised nowhere; midnight there is likely.
    """
    return at.astimezone(CHINA).date()


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls of one endpoint on one quota day; `cgi_path` is such as `/cgi-bin/user/get`."""

    day: date
    cgi_path: str
    calls: int


UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Failed:
    """Calls of one endpoint that brought an error in place of what was asked for.

    `error` is the errcode, or UNANSWERED: no answer of WeChat's came, or none that can be read.
    """

    cgi_path: str
    error: str
    calls: int


@dataclass(frozen=True, slots=True)
class QuotaInfo:
    """What openapi/quota/get says of one endpoint's day, all programs of the account together.

    (developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/openapi/get_api_quota.html)
    """

    daily_limit: int
    used: int
    remain: int

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "QuotaInfo":
        """Parse `{"quota": {"daily_limit": …, "used": …, "remain": …}}`, or raise MalformedReply.

        `remain` is what must be there: a limit of 0 says nothing.
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
    """Return how many of a day's calls are left alone, for a share from 0 to 1 (None: none)."""
    return math.ceil((share or 0) * daily_limit)


@dataclass(frozen=True, slots=True)
class QuotaState:
    """What the database knows of one endpoint's day when a run is about to call it.

    `calls` are those of this database's runs; `exhausted`: WeChat has said 45009; `total` is how
    many followers WeChat's list had when it was last looked at.
    """

    calls: int = 0
    exhausted: bool = False
    total: int | None = None


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One endpoint's day as `syncjob quota` shows it.

    `calls` are those of this database's runs today, `used` those of all programs: what WeChat last
    said (`used_when_told`) and the runs' own since. So `used` is never less than `calls`; it is
    None if WeChat has said nothing today. `daily_limit` and `told_at` may be of another day.
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
        """Add up what is known of the day; `since` are the runs' own calls since then."""
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
