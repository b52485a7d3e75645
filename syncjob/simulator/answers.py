"""Answers, and WeChat's error bodies with their texts and rids."""

import json
import random
import string
from dataclasses import dataclass
from typing import Literal

JSON_TYPE = "application/json; encoding=utf-8"  # WeChat sends "encoding" instead of "charset"

ERRMSGS = {
    -1: "system error",
    40001: (
        "invalid credential, access_token is invalid or not latest, could get access_token by "
        "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r"
    ),
    40002: "invalid grant_type",
    40003: "invalid openid",
    40013: "invalid appid",
    40014: "invalid access_token",
    40032: "invalid openid list size",
    40066: "invalid url",
    40125: "invalid appsecret",
    40164: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist",
    40243: "AppSecret已被冻结",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    42001: "access_token expired",
    43001: "require GET method",
    43002: "require POST method",
    43004: "require subscribe",
    44002: "empty post data",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    46004: "user does not exist",
    47001: "data format error",
    48001: "api unauthorized",
    48004: "api forbidden for irregularities",
    50002: "user limited",
    50004: "禁止使用 token 接口",
    50005: "user is unsubscribed",
    50007: "账号已冻结",
    61024: "third-party platform must use its own token",
    65302: "user is not a follower",
    76001: "rid not found",
    76003: "invalid cgi_path",
    76021: "cgi_path not found",
    89501: "IP awaiting administrator confirmation",
    89503: "IP needs administrator confirmation",
    89506: "administrator refused this IP twice",
    89507: "administrator refused this IP",
    268487001: "system busy",
    268487002: "platform busy, retry later",
}
_HINTED = (40003, 40032, 47001)


@dataclass(frozen=True)
class Answer:
    """One answer, or a failure in its place.

    `action`: "send" the answer; "drop" the connection without one; "hang" without one; "tear" the
    connection in the middle of the body. `delay` and `clock_off`, the error of the Date header,
    are in seconds.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = JSON_TYPE
    errcode: int | None = None
    action: Literal["send", "drop", "hang", "tear"] = "send"
    delay: float = 0.0
    clock_off: float = 0.0


class ErrorBodies:
    """Makes error answers. The sequence of rids is the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"rid {seed}")

    def answer(self, errcode: int, now: float, *, quoted: bool = False) -> Answer:
        """Return HTTP 200 with `errcode`, as a string if `quoted`, and its errmsg.

        The first group of a rid is the unix time in hexadecimal.
        """
        errmsg = ERRMSGS.get(errcode, f"simulated error {errcode}")
        if errcode in _HINTED:
            hint = "".join(self._dice.choices(string.ascii_letters + string.digits, k=14))
            errmsg += f" hint: [{hint}]"
        bits = self._dice.getrandbits
        errmsg += f" rid: {int(now):08x}-{bits(32):08x}-{bits(32):08x}"
        fields = {"errcode": str(errcode) if quoted else errcode, "errmsg": errmsg}
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return Answer(text.encode(), errcode=errcode)
