"""What came back over the network, before it is known what it means."""

import json
import re
from typing import Any

from syncjob.model import integer

OF_EVERY_ANSWER = frozenset({"errcode", "errmsg", "rid"})


def decode(content: bytes) -> Any:
    """Decode an answer as WeChat sends it, or return None.

    requests would guess a charset (ISO-8859-1 for text/plain); answers hold raw control characters,
    bytes that are no UTF-8 and at times a BOM. (wechatpy#147, lanrion/weixin_authorize#52)
    """
    try:
        return json.loads(content.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def is_foreign(answer: dict[str, Any], keys: frozenset[str]) -> bool:
    """Tell JSON of another program's: something in it, and none of the `keys`, where no errcode is.

    Gateways wrap what they pass on, as in {"code": 0, "data": {…}}, and so they do with errors of
    their own. An empty object may be anybody's, and {"errcode": 0, "errmsg": "ok"} is WeChat's.
    """
    return bool(keys) and bool(answer.keys() - OF_EVERY_ANSWER) and not answer.keys() & keys


def shown_keys(answer: dict[str, Any]) -> str:
    """Name an object's keys, as far as they are plain words: anything else may be a secret."""
    plain = [key for key in answer if re.fullmatch(r"[A-Za-z_]{1,20}", key)]
    return ", ".join(plain[:5]) or "…"


def errcode_of(answer: Any) -> int:
    """Return the errcode, 0 for none: successes carry none at all, and some SDKs met strings.

    -1 (WeChat is busy) for one that is no number.
    """
    said = answer.get("errcode") if isinstance(answer, dict) else None
    return int(integer(said, default=-1)) if said else 0
