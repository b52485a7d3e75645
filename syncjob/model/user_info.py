"""What WeChat says of one person, in whatever shape of the last ten years.

Pure: no HTTP, no SQL, no clock.
"""

from typing import Annotated, Any, Literal

from msgspec import DecodeError, Meta, Struct, field
from msgspec.json import Decoder

from syncjob.model.cleaning import BIGINT, INSTANT, SMALLINT, cleaned, integer, integers, text
from syncjob.model.openids import LONGEST_OPENID, is_openid
from syncjob.model.replies import MalformedReply

Small = Annotated[int, Meta(ge=SMALLINT.start, lt=SMALLINT.stop)]
Big = Annotated[int, Meta(ge=BIGINT.start, le=BIGINT.stop - 1)]
Instant = Annotated[int, Meta(ge=INSTANT.start, lt=INSTANT.stop)]


class UserInfo(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One entry of user/info/batchget, cleaned; None for what the entry does not say.

    `subscribe` is None where the entry says neither 0 nor 1. `subscribe_time` is in unix seconds,
    and `extra` holds the keys that this version does not know. The types are what WeChat documents
    and the columns hold: an entry that keeps to them needs no cleaning.
    """

    openid: Annotated[str, Meta(min_length=1, max_length=LONGEST_OPENID)]
    subscribe: Literal[0, 1] | None = None
    nickname: str | None = None
    sex: Small | None = None
    language: str | None = None
    city: str | None = None
    province: str | None = None
    country: str | None = None
    headimgurl: str | None = None
    subscribe_time: Instant | None = None
    unionid: str | None = None
    remark: str | None = None
    groupid: Big | None = None
    tagid_list: list[Big] | None = None
    subscribe_scene: str | None = None
    qr_scene: Big | None = None
    qr_scene_str: str | None = None
    # Filled by from_json alone: the name is none that a key of WeChat's can be expected to have.
    extra: dict[str, Any] | None = field(default=None, name="(what this version does not know)")

    def __repr__(self) -> str:
        """Show nothing of the person: reprs end in logs and tracebacks."""
        return f"UserInfo(subscribe={self.subscribe})"

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "UserInfo":
        """Parse one entry; never raise for a field.

        Keys may be absent or empty alike (wechat: user/info since 2021-12-27); values of a wrong
        type count as absent.
        """
        return cls(
            openid=entry["openid"],
            subscribe=integer(entry.get("subscribe"), within=range(2)),
            nickname=text(entry.get("nickname")),
            sex=integer(entry.get("sex"), within=SMALLINT),
            language=text(entry.get("language")),
            city=text(entry.get("city")),
            province=text(entry.get("province")),
            country=text(entry.get("country")),
            headimgurl=text(entry.get("headimgurl")),
            subscribe_time=integer(entry.get("subscribe_time"), within=INSTANT),
            unionid=text(entry.get("unionid")),
            remark=text(entry.get("remark")),
            groupid=integer(entry.get("groupid")),
            tagid_list=integers(entry.get("tagid_list")),
            subscribe_scene=text(entry.get("subscribe_scene")),
            qr_scene=integer(entry.get("qr_scene")),
            qr_scene_str=text(entry.get("qr_scene_str")),
            extra=cleaned({k: v for k, v in entry.items() if k not in _KNOWN}) or None,
        )


_KNOWN = frozenset(UserInfo.__struct_fields__) - {"extra"}


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
    return [
        UserInfo.from_json(entry)
        for entry in entries
        if isinstance(entry, dict) and is_openid(entry.get("openid"))
    ]


class _Batch(Struct, forbid_unknown_fields=True, gc=False):
    user_info_list: list[UserInfo]


_decoder = Decoder(_Batch)


def documented_user_infos(content: bytes) -> list[UserInfo] | None:
    """Read an answer of user/info/batchget that is as documented, at a seventh of the price.

    None for every other answer, which may still be a good one: errors, unknown keys, numbers as
    strings, broken text.
    """
    if b"u0000" in content:  # the one text of good JSON that needs cleaning, perhaps
        return None
    try:
        infos = _decoder.decode(content).user_info_list
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # One look at all, instead of one at each: blank ones are none, and none of WeChat's has blanks.
    together = "".join([info.openid for info in infos])
    return infos if together.isascii() and together.isprintable() and " " not in together else None
