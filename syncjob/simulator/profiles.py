"""The JSON text of one user, in each shape that WeChat is known to send.

Everything is a function of the user's index, so that millions of users need no memory.
"""

import random
from typing import Final, Literal

Era = Literal["today", "full", "docs"]
Shape = Literal["wire-2025", "wire-2020", "docs-2015", "docs"]

_SCENES = (
    "ADD_SCENE_SEARCH",
    "ADD_SCENE_ACCOUNT_MIGRATION",
    "ADD_SCENE_PROFILE_CARD",
    "ADD_SCENE_QR_CODE",
    "ADD_SCENE_PROFILE_LINK",
    "ADD_SCENE_PROFILE_ITEM",
    "ADD_SCENE_PAID",
    "ADD_SCENE_WECHAT_ADVERTISEMENT",
    "ADD_SCENE_REPRINT",
    "ADD_SCENE_LIVESTREAM",
    "ADD_SCENE_CHANNELS",
    "ADD_SCENE_WXA",
    "ADD_SCENE_OTHERS",
)
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
_GIVEN = (
    "小明",
    "秀英",
    "静",
    "磊",
    "洋",
    "雪儿",
    "子涵",
    "浩宇",
    "Lily",
    "大王🐯",
    "🌸",
    "囍",
    "Tom·陈",
)
_PLACES = (
    ("中国", "广东", "广州"),
    ("中国", "内蒙古", "包头"),
    ("中国", "河北", "秦皇岛"),
    ("中国", "四川", "成都"),
    ("中国", "上海", "浦东新区"),
    ("中国香港", "", ""),
    ("日本", "东京", ""),
    ("", "", ""),
)

# Bytes that WeChat has sent where its documentation promises JSON in UTF-8. Each is the raw value
# of one field, quotes included.
QUIRKS: Final[tuple[dict[str, bytes], ...]] = (
    {"nickname": b'"\x14\xe7\x90\xa6\xe5\x84\x9e\xf0\x9f\x8d\xad"'},
    {"nickname": b'"ding\x07dong"'},
    {"nickname": '"阿黄"'.encode("gbk")},
    {"province": b'"' + "内蒙古".encode("utf-16-be") + b'"', "city": b'"S\x05Y4"'},
    {"nickname": rb'"broken \ud83d heart"'},
    {"nickname": rb'"nul \u0000 inside"'},
    {"headimgurl": rb'"http:\/\/wx.qlogo.cn\/mmopen\/AAAA\/0"'},
    {"nickname": '"\ue13c\ue04a"'.encode()},
    {"remark": b'"\x07VIP\\u0000"'},
    {"province": b'"10.21.34.55"'},
    # A JSON parser reads the 0x5C in the last character as a backslash of an invalid escape.
    {
        "province": b'"' + "河北".encode("utf-16-be") + b'"',
        "city": b'"' + "秦皇岛".encode("utf-16-be") + b'"',
    },
)


class Profiles:
    """Makes the JSON text of users in one shape."""

    def __init__(self, seed: int, era: Era, unfollowed: Shape) -> None:
        self._unfollowed = unfollowed
        dice = random.Random(f"profiles {seed}")
        # 256 variants are enough for tests, and cost one lookup per user.
        self._heads = [_head(era, dice).partition("#") for _ in range(256)]
        self._tails = [_tail(dice) for _ in range(256)]

    def followed(self, index: int, openid: str, subscribe_time: int, unionid: str | None) -> str:
        """Return the JSON object of a follower, with the keys in WeChat's order."""
        known = "" if unionid is None else f'"unionid":"{unionid}",'
        variant = index * 2654435761 >> 8
        head, mark, rest = self._heads[variant & 255]
        own = openid[6:] if mark else ""
        return (
            f'{{"subscribe":1,"openid":"{openid}",{head}{own}{rest}'
            f'"subscribe_time":{subscribe_time},{known}{self._tails[variant >> 8 & 255]}}}'
        )

    def unfollowed(self, openid: str, unionid: str | None) -> str:
        """Return the JSON object of a user who does not follow, in the selected shape."""
        start = f'{{"subscribe":0,"openid":"{openid}"'
        if self._unfollowed == "docs":
            return start + "}"
        if self._unfollowed == "docs-2015":
            return start + ("}" if unionid is None else f',"unionid":"{unionid}"}}')
        if self._unfollowed == "wire-2020":
            return start + ',"tagid_list":[]}'
        return (
            f'{start},"nickname":"","sex":0,"language":"zh_CN","city":"","province":"",'
            '"country":"","headimgurl":"","tagid_list":[]}'
        )


def _head(era: Era, dice: random.Random) -> str:
    if era == "docs":
        return '"language":"zh_CN",'
    if era == "today":
        return (
            '"nickname":"","sex":0,"language":"zh_CN","city":"","province":"","country":"",'
            '"headimgurl":"",'
        )
    nickname = dice.choice(_SURNAMES) + dice.choice(_GIVEN)
    country, province, city = dice.choice(_PLACES)
    return (
        f'"nickname":"{nickname}","sex":{dice.choice((0, 1, 1, 2, 2))},"language":"zh_CN",'
        f'"city":"{city}","province":"{province}","country":"{country}",'
        r'"headimgurl":"http:\/\/thirdwx.qlogo.cn\/mmopen\/#\/132",'
    )


def _tail(dice: random.Random) -> str:
    tags = sorted(dice.sample((2, 100, 101, 102, 103), dice.choice((0, 0, 0, 0, 1, 3))))
    group = tags[0] if tags else 0
    scene = dice.choice(_SCENES)
    number, text = 0, ""
    if scene == "ADD_SCENE_QR_CODE":
        # qr_scene has 32 bits unsigned: its maximum does not fit into a signed INTEGER column.
        number, text = dice.choice(((4294967295, ""), (100123, ""), (0, "门店-023"), (0, "")))
    remark = dice.choice(("", "", "", "", "老客户", "VIP☎ 王姐"))
    listed = ",".join(map(str, tags))
    return (
        f'"remark":"{remark}","groupid":{group},"tagid_list":[{listed}],'
        f'"subscribe_scene":"{scene}","qr_scene":{number},"qr_scene_str":"{text}"'
    )
