"""What WeChat says, as frozen values; the quirks of its JSON are met here, once each.

Pure: no HTTP, no SQL, no clock.
"""

from dataclasses import dataclass, field
from typing import Any

from syncjob.model.cleaning import integer
from syncjob.model.openids import is_openid

LAST_INSTANT = 1 << 32  # seconds since 1970: in 2106


class MalformedReply(ValueError):
    """An answer of WeChat's that has not the documented shape; asking again may bring another."""


@dataclass(frozen=True, slots=True)
class FollowerPage:
    """One answer of user/get: up to 10 000 distinct OpenIDs, in WeChat's order.

    `next_openid` is "" where the answer names none; `total` is the account's number of followers,
    None where the answer does not say. `skipped` counts entries that no OpenID can be made of.
    """

    openids: tuple[str, ...] = field(repr=False)
    next_openid: str = field(repr=False)
    total: int | None
    skipped: int = 0

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "FollowerPage":
        """Parse an answer of user/get; raise MalformedReply for what cannot be one.

        Past the end WeChat sends no `data` at all; older documents print blank OpenIDs in the
        list and " " for an empty next_openid
        (developers.weixin.qq.com/doc/service/api/usermanage/userinfo/api_getfans).
        """
        data = body.get("data") or {}
        # `{}`, or the `data` of somebody else's wrapper, must not be read as the end of the list:
        # an end says at least one of these.
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
    """Return the OpenIDs of a page and how many entries are none; blank ones count for nothing."""
    # One look at all, instead of one at each: nearly every page is as documented.
    if set(map(type, listed)) == {str} and "" not in listed:
        together = "".join(listed)
        if together.isascii() and together.isprintable() and " " not in together:
            return tuple(dict.fromkeys(listed)), 0
    openids = [entry for entry in listed if is_openid(entry)]
    blank = sum(1 for entry in listed if isinstance(entry, str) and not entry.strip())
    return tuple(dict.fromkeys(openids)), len(listed) - len(openids) - blank


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What openapi/rid/get says of an earlier request; its URL and bodies are left out.

    They hold the token and OpenIDs. `client_ip` is the address that WeChat saw; `invoke_time` is in
    seconds since 1970, `cost` in milliseconds
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
    """A token and how long it lives, in seconds; None where its source does not say."""

    value: str = field(repr=False)
    expires_in: int | None

    @property
    def usable_for(self) -> float | None:
        """Seconds until a new one should be fetched, well before WeChat refuses this one.

        A fixed margin would eat the whole life of a token that stable_token hands out with the
        300 seconds it has left (doc/service/api/base/api_getstableaccesstoken).
        """
        if self.expires_in is None:
            return None
        return self.expires_in - min(300.0, self.expires_in / 2)


@dataclass(frozen=True, slots=True)
class TokenClaim:
    """What came of wanting another token: a good one, or the right to fetch one, by its number.

    Neither means that somebody else is fetching one.
    """

    token: str | None = field(default=None, repr=False)
    generation: int | None = None
