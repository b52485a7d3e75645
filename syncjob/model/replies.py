"""WeChat's answers as frozen values. Each quirk of its JSON is handled once, here.

Pure: no HTTP, no SQL, no clock.
"""

from dataclasses import dataclass, field
from typing import Any

from syncjob.model.cleaning import integer
from syncjob.model.openids import is_openid

LAST_INSTANT = 1 << 32  # seconds since 1970: in 2106


class MalformedReply(ValueError):
    """An answer that does not have the documented shape. A retry may succeed."""


@dataclass(frozen=True, slots=True)
class FollowerPage:
    """One answer of user/get: up to 10 000 distinct OpenIDs, in WeChat's order.

    `next_openid` is "" if the answer has none; `total` is the account's number of followers, None
    if absent. `skipped` counts entries that cannot be OpenIDs.
    """

    openids: tuple[str, ...] = field(repr=False)
    next_openid: str = field(repr=False)
    total: int | None
    skipped: int = 0

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "FollowerPage":
        """Parse an answer of user/get; raise MalformedReply if it is not a page.

        Past the end WeChat sends no `data`. Older documentation shows blank OpenIDs in the list
        and " " for an empty next_openid
        (developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans).
        """
        data = body.get("data") or {}
        # `{}`, or the `data` of a gateway's wrapper, must not be taken for the end of the list: a
        # real end has at least one of these keys.
        lists = isinstance(data, dict) and isinstance(data.get("openid"), list)
        wraps = isinstance(data, dict) and bool(data) and "openid" not in data
        if wraps or not (lists or body.keys() & {"total", "count", "next_openid"}):
            raise MalformedReply("a list page without total, count, data and next_openid")
        listed = (data.get("openid") or []) if isinstance(data, dict) else None
        next_openid = body.get("next_openid") or ""
        if not isinstance(listed, list) or not isinstance(next_openid, str):
            raise MalformedReply("a list page whose data is no list of OpenIDs")
        next_openid = next_openid.strip()
        if next_openid and not is_openid(next_openid):
            raise MalformedReply("a list page whose next_openid is no OpenID")
        openids, skipped = _distinct_openids(listed)
        return cls(openids, next_openid, integer(body.get("total")), skipped)


def _distinct_openids(listed: list[Any]) -> tuple[tuple[str, ...], int]:
    """Return the distinct OpenIDs and the number of invalid entries, blank ones not counted."""
    # Fast path: nearly every page is as documented, and one check of all entries is enough.
    if set(map(type, listed)) == {str} and "" not in listed:
        together = "".join(listed)
        if together.isascii() and together.isprintable() and " " not in together:
            return tuple(dict.fromkeys(listed)), 0
    openids = [entry for entry in listed if is_openid(entry)]
    blank = sum(1 for entry in listed if isinstance(entry, str) and not entry.strip())
    return tuple(dict.fromkeys(openids)), len(listed) - len(openids) - blank


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """The answer of openapi/rid/get: facts about an earlier request.

    The request's URL and bodies are left out, because they hold the token and OpenIDs. `client_ip`
    is the address that WeChat saw; `invoke_time` is in unix seconds, `cost` in milliseconds
    (developers.weixin.qq.com/doc/oplatform/openApi/OpenApiDoc/openapi/get_rid_info).
    """

    invoke_time: int | None
    cost: int | None
    client_ip: str | None

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "RequestInfo":
        """Parse `{"request": {"invoke_time": …, "client_ip": …}}`, or raise MalformedReply."""
        request = body.get("request")
        if not isinstance(request, dict):
            raise MalformedReply("no request")
        client_ip = request.get("client_ip")
        return cls(
            integer(request.get("invoke_time"), within=range(LAST_INSTANT)),
            integer(request.get("cost_in_ms")),
            client_ip[:45] if isinstance(client_ip, str) and client_ip.isprintable() else None,
        )


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and its lifetime in seconds, None if its source does not say."""

    value: str = field(repr=False)
    expires_in: int | None

    @property
    def usable_for(self) -> float | None:
        """The seconds after which a new token should be fetched, before this one expires.

        The margin is at most half of the lifetime: stable_token may return a token with 300
        seconds left, which a fixed margin would use up
        (doc/service/api/base/api_getstableaccesstoken).
        """
        if self.expires_in is None:
            return None
        return self.expires_in - min(300.0, self.expires_in / 2)


@dataclass(frozen=True, slots=True)
class TokenClaim:
    """The result of claiming a token: a valid token, or the right to fetch one (`generation`).

    If both are None, another process is fetching one.
    """

    token: str | None = field(default=None, repr=False)
    generation: int | None = None
