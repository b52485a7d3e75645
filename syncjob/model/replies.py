"""What WeChat says, as frozen values; the quirks of its JSON are met here, once each.

Pure: no HTTP, no SQL, no clock.
"""

import hashlib
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any

BIGINT = range(-(2**63), 2**63)


class MalformedReply(ValueError):
    """An answer of WeChat's that has not the documented shape; asking again may bring another."""


def shown(openid: str) -> str:
    """Return the short hash that stands for an OpenID in logs and messages."""
    return hashlib.blake2s(openid.encode("utf-8", "replace"), person=b"syncjob").hexdigest()[:10]


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
        # `{}` must not be read as the end of the list: an end says at least one of these.
        if not body.keys() & {"total", "count", "data", "next_openid"}:
            raise MalformedReply("a list page without total, count, data and next_openid")
        data = body.get("data") or {}
        listed = (data.get("openid") or []) if isinstance(data, dict) else None
        next_openid = body.get("next_openid") or ""
        if not isinstance(listed, list) or not isinstance(next_openid, str):
            raise MalformedReply("a list page whose data is no list of OpenIDs")
        next_openid = next_openid.strip()
        if next_openid and not _is_openid(next_openid):
            raise MalformedReply("a list page whose next_openid is no OpenID")
        openids = dict.fromkeys(entry for entry in listed if _is_openid(entry))
        blank = sum(1 for entry in listed if isinstance(entry, str) and not entry.strip())
        repeated = sum(1 for entry in listed if _is_openid(entry)) - len(openids)
        return cls(
            openids=tuple(openids),
            next_openid=next_openid,
            total=_integer(body.get("total")),
            skipped=len(listed) - len(openids) - blank - repeated,
        )


@dataclass(frozen=True, slots=True)
class UserInfo:
    """One entry of user/info/batchget, cleaned; None for what the entry does not say.

    `subscribe` is None where the entry says neither 0 nor 1. `subscribe_time` is aware UTC.
    """

    openid: str = field(repr=False)
    subscribe: bool | None = None
    nickname: str | None = field(default=None, repr=False)
    sex: int | None = None
    language: str | None = None
    city: str | None = field(default=None, repr=False)
    province: str | None = field(default=None, repr=False)
    country: str | None = field(default=None, repr=False)
    headimgurl: str | None = field(default=None, repr=False)
    subscribe_time: datetime | None = None
    unionid: str | None = field(default=None, repr=False)
    remark: str | None = field(default=None, repr=False)
    groupid: int | None = None
    tagid_list: list[int] | None = None
    subscribe_scene: str | None = None
    qr_scene: int | None = None
    qr_scene_str: str | None = field(default=None, repr=False)
    extra: dict[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "UserInfo":
        """Parse one entry, whatever shape of the last ten years it has; never raise for a field.

        Keys may be absent or empty alike (wechat: user/info since 2021-12-27); values of a wrong
        type count as absent.
        """
        return cls(
            openid=entry["openid"],
            subscribe={0: False, 1: True}.get(_integer(entry.get("subscribe"), default=-1)),
            nickname=_text(entry.get("nickname")),
            sex=_integer(entry.get("sex"), within=range(-(2**15), 2**15)),
            language=_text(entry.get("language")),
            city=_text(entry.get("city")),
            province=_text(entry.get("province")),
            country=_text(entry.get("country")),
            headimgurl=_text(entry.get("headimgurl")),
            subscribe_time=_instant(entry.get("subscribe_time")),
            unionid=_text(entry.get("unionid")),
            remark=_text(entry.get("remark")),
            groupid=_integer(entry.get("groupid")),
            tagid_list=_integers(entry.get("tagid_list")),
            subscribe_scene=_text(entry.get("subscribe_scene")),
            qr_scene=_integer(entry.get("qr_scene")),
            qr_scene_str=_text(entry.get("qr_scene_str")),
            extra=_cleaned({k: v for k, v in entry.items() if k not in KNOWN_FIELDS}) or None,
        )


KNOWN_FIELDS = frozenset(f.name for f in fields(UserInfo)) - {"extra"}


def user_info_from_json(body: dict[str, Any]) -> UserInfo:
    """Parse an answer of user/info; raise MalformedReply for one without a usable OpenID."""
    if not _is_openid(body.get("openid")):
        raise MalformedReply("a user without an OpenID")
    return UserInfo.from_json(body)


def user_infos_from_json(body: dict[str, Any]) -> list[UserInfo]:
    """Parse an answer of user/info/batchget; entries without a usable OpenID are left out."""
    entries = body.get("user_info_list")
    if not isinstance(entries, list):
        raise MalformedReply("a batch without user_info_list")
    return [
        UserInfo.from_json(entry)
        for entry in entries
        if isinstance(entry, dict) and _is_openid(entry.get("openid"))
    ]


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


def _is_openid(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value == _text(value)


def _text(value: object) -> str | None:
    """Take out what PostgreSQL (NUL) and UTF-8 (lone surrogates) refuse to store."""
    if not isinstance(value, str):
        return None
    if "\0" in value:
        value = value.replace("\0", "")
    if value.isascii():
        return value
    return value.encode("utf-8", "ignore").decode("utf-8")


def _cleaned(value: Any) -> Any:
    """Clean every text of a JSON value, however deep."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(name): _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _integer(value: object, *, within: range = BIGINT, default: Any = None) -> Any:
    """Read a number that some endpoints send as a string; what no column can hold is absent."""
    if type(value) is not int:
        if not isinstance(value, str | float):
            return default
        try:
            value = int(value)
        except (ValueError, OverflowError):
            return default
    return value if value in within else default


def _integers(value: object) -> list[int] | None:
    if not isinstance(value, list):
        return None
    return [number for number in map(_integer, value) if number is not None]


def _instant(value: object) -> datetime | None:
    seconds = _integer(value)
    if not seconds or seconds < 0:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
