"""What came back over the network, before it is known what it means."""

import json
from typing import Any

from syncjob.model import BIGINT


def decode(content: bytes) -> Any:
    """Decode an answer as WeChat sends it, or return None.

    requests would guess a charset (ISO-8859-1 for text/plain); answers hold raw control characters,
    bytes that are no UTF-8 and at times a BOM. (wechatpy#147, lanrion/weixin_authorize#52)
    """
    try:
        return json.loads(content.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def errcode_of(answer: Any) -> int:
    """Return the errcode, 0 for none: successes carry none at all, and some SDKs met strings."""
    try:
        errcode = int(answer.get("errcode") or 0) if isinstance(answer, dict) else 0
    except (TypeError, ValueError, OverflowError):
        return -1
    return errcode if errcode in BIGINT else -1
