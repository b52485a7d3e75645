"""One user's profile as WeChat sends it, in every shape of the last ten years.

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
    """One entry of user/info/batchget, cleaned; None for a field that the entry lacks.

    `subscribe` is None if it is neither 0 nor 1. `subscribe_time` is in unix seconds. `extra` holds
    unknown keys. The types are those that WeChat documents and the columns hold: an entry that
    matches them needs no cleaning.
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
    # Filled by from_json only: no key of WeChat's is likely to have this name.
    extra: dict[str, Any] | None = field(default=None, name="(what this version does not know)")

    def __repr__(self) -> str:
        """Show no personal data: reprs end up in logs and tracebacks."""
        return f"UserInfo(subscribe={self.subscribe})"

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "UserInfo":
        """Parse one entry. No field raises: a value of the wrong type counts as absent.

        Since 2021-12-27 a key may be empty or absent.
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
    """Parse an answer of user/info; raise MalformedReply if it has no usable OpenID."""
    if not is_openid(body.get("openid")):
        raise MalformedReply("a user without an OpenID")
    return UserInfo.from_json(body)


def user_infos_from_json(body: dict[str, Any]) -> list[UserInfo]:
    """Parse an answer of user/info/batchget, without the entries that have no usable OpenID."""
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
    """Parse an answer of user/info/batchget on a fast path, seven times as fast as the slow one.

    Return None for an answer that is not exactly as documented: an error, unknown keys, numbers
    as strings, broken text. The slow path may still accept it.
    """
    if b"u0000" in content:  # perhaps an escaped NUL, which needs cleaning
        return None
    try:
        infos = _decoder.decode(content).user_info_list
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # One check of all OpenIDs together: blank ones are invalid, and WeChat's contain no spaces.
    together = "".join([info.openid for info in infos])
    return infos if together.isascii() and together.isprintable() and " " not in together else None
