"""What WeChat says of one person, in whatever shape of the last ten years.

Pure: no HTTP, no SQL, no clock.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from syncjob.model.cleaning import (
    BIGINT,
    SMALLINT,
    cleaned,
    instant,
    integer,
    integers,
    is_clean,
    is_openid,
    text,
)
from syncjob.model.replies import MalformedReply, shown


class UserInfo(NamedTuple):
    """One entry of user/info/batchget, cleaned; None for what the entry does not say.

    `subscribe` is None where the entry says neither 0 nor 1. `subscribe_time` is aware UTC, and
    `extra` holds the keys that this version does not know. A tuple, for there may be millions.
    """

    openid: str
    subscribe: bool | None = None
    nickname: str | None = None
    sex: int | None = None
    language: str | None = None
    city: str | None = None
    province: str | None = None
    country: str | None = None
    headimgurl: str | None = None
    subscribe_time: datetime | None = None
    unionid: str | None = None
    remark: str | None = None
    groupid: int | None = None
    tagid_list: list[int] | None = None
    subscribe_scene: str | None = None
    qr_scene: int | None = None
    qr_scene_str: str | None = None
    extra: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Show nothing of the person: reprs end in logs and tracebacks."""
        return f"UserInfo({shown(self.openid)}, subscribe={self.subscribe})"

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "UserInfo":
        """Parse one entry; never raise for a field.

        Keys may be absent or empty alike (wechat: user/info since 2021-12-27); values of a wrong
        type count as absent.
        """
        return cls(
            openid=entry["openid"],
            subscribe={0: False, 1: True}.get(integer(entry.get("subscribe"), default=-1)),
            nickname=text(entry.get("nickname")),
            sex=integer(entry.get("sex"), within=SMALLINT),
            language=text(entry.get("language")),
            city=text(entry.get("city")),
            province=text(entry.get("province")),
            country=text(entry.get("country")),
            headimgurl=text(entry.get("headimgurl")),
            subscribe_time=instant(entry.get("subscribe_time")),
            unionid=text(entry.get("unionid")),
            remark=text(entry.get("remark")),
            groupid=integer(entry.get("groupid")),
            tagid_list=integers(entry.get("tagid_list")),
            subscribe_scene=text(entry.get("subscribe_scene")),
            qr_scene=integer(entry.get("qr_scene")),
            qr_scene_str=text(entry.get("qr_scene_str")),
            extra=cleaned({k: v for k, v in entry.items() if k not in ABSENT}) or None,
        )


# WeChat's own keys, each absent.
ABSENT: dict[str, Any] = dict.fromkeys(name for name in UserInfo._fields if name != "extra")


def user_info_from_json(body: dict[str, Any]) -> UserInfo:
    """Parse an answer of user/info; raise MalformedReply for one without a usable OpenID."""
    if not is_openid(body.get("openid")):
        raise MalformedReply("a user without an OpenID")
    return UserInfo.from_json(body)


def user_infos_from_json(body: dict[str, Any]) -> list[UserInfo]:
    """Parse an answer of user/info/batchget; entries without a usable OpenID are left out."""
    entries = body.get("user_info_list")
    if not isinstance(entries, list):
        raise MalformedReply("a batch without user_info_list")
    infos = [info for info in map(_documented, entries) if info is not None]
    # One look at all the texts of a batch, instead of one at each.
    texts = [value for info in infos for value in _texts(info) if value]
    if len(infos) == len(entries) and is_clean("".join(texts)):
        return infos
    return [
        UserInfo.from_json(entry)
        for entry in entries
        if isinstance(entry, dict) and is_openid(entry.get("openid"))
    ]


# --- the fast road: what is as documented needs no cleaning, and is read at a quarter of the price

_values = itemgetter(*ABSENT)
_NUMBERS = ("subscribe", "sex", "subscribe_time", "groupid", "qr_scene")
_TEXTS = tuple(name for name in ABSENT if name not in (*_NUMBERS, "tagid_list"))
_texts = itemgetter(*map(UserInfo._fields.index, _TEXTS))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CENTURIES = 2**33  # seconds, and a datetime can hold them


def _documented(entry: Any) -> UserInfo | None:
    """Return what `UserInfo.from_json` would, but for cleaning texts; None if it may differ."""
    if type(entry) is not dict:
        return None
    if len(entry) != len(ABSENT) or entry.keys() != ABSENT.keys():
        entry = ABSENT | entry
        if len(entry) != len(ABSENT):
            return None
    values = _values(entry)
    if not _are_documented(tuple(map(type, values))):
        return None
    openid, subscribe, _, sex, _, _, _, _, _, time, _, _, groupid, tags, _, qr_scene, _ = values
    if (
        not openid.strip()
        or not 0 <= subscribe <= 1
        or (sex and not 0 <= sex < SMALLINT.stop)
        or (groupid and not 0 <= groupid < BIGINT.stop)
        or (qr_scene and not 0 <= qr_scene < BIGINT.stop)
        or (time is not None and not 0 < time < _CENTURIES)
        or (tags and not all(type(tag) is int and 0 <= tag < BIGINT.stop for tag in tags))
    ):
        return None
    followed_at = None if time is None else _EPOCH + timedelta(0, time)
    return UserInfo._make(
        (openid, subscribe == 1, *values[2:9], followed_at, *values[10:], None),
    )


@lru_cache(maxsize=256)
def _are_documented(types: tuple[type, ...]) -> bool:
    """Tell whether these are the documented types of WeChat's keys, or those of absent ones."""
    for name, kind in zip(ABSENT, types, strict=True):
        documented = int if name in _NUMBERS else list if name == "tagid_list" else str
        absent_too = name not in ("openid", "subscribe")
        if kind is not documented and not (absent_too and kind is type(None)):
            return False
    return True
