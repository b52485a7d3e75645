"""Decoding of answers: bytes to JSON, errcode, signs of a gateway."""

import json
import re
from typing import Any

from syncjob.model.cleaning import integer

COMMON_KEYS = frozenset({"errcode", "errmsg", "rid"})


def decode(content: bytes) -> Any:
    """Decode an answer as WeChat sends it; return None for what is not JSON.

    requests would guess a charset (ISO-8859-1 for text/plain). Answers contain raw control
    characters, invalid UTF-8 and sometimes a BOM. (wechatpy#147, lanrion/weixin_authorize#52)
    """
    try:
        return json.loads(content.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def is_foreign(answer: dict[str, Any], keys: frozenset[str]) -> bool:
    """Return whether JSON without an errcode comes from another program: it has none of the `keys`.

    Gateways wrap answers and their own errors, as in {"code": 0, "data": {…}}. An empty object
    proves nothing, and {"errcode": 0, "errmsg": "ok"} is WeChat's.
    """
    return bool(keys) and bool(answer.keys() - COMMON_KEYS) and not answer.keys() & keys


def shown_keys(answer: dict[str, Any]) -> str:
    """Return an object's keys for a message, plain words only: anything else may be a secret."""
    plain = [key for key in answer if re.fullmatch(r"[A-Za-z_]{1,20}", key)]
    return ", ".join(plain[:5]) or "…"


def errcode_of(answer: Any) -> int:
    """Return the errcode, 0 if there is none: successes have none, and some SDKs saw strings.

    Returns -1 (WeChat is busy) for one that is not a number.
    """
    said = answer.get("errcode") if isinstance(answer, dict) else None
    return int(integer(said, default=-1)) if said else 0
