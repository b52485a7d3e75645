"""Failed requests by the rid of their answer, for openapi/rid/get."""

import json
import re

_RID = re.compile(rb"rid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})")
_MAX_REQUESTS = 1000
_CLIENT_IP = "203.0.113.7"


class Rids:
    """The newest failed requests, by rid."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, object]] = {}

    def keep(self, body: bytes, target: str, now: float) -> None:
        """Store the request that got this answer, if the answer has a rid."""
        # `in` is 20 times as fast as the search.
        found = _RID.search(body) if b"rid: " in body else None
        if found is None:
            return
        self._requests[found[1].decode()] = {
            "invoke_time": int(now),
            "cost_in_ms": 7,
            "request_url": target,
            "request_body": "",
            "response_body": body.decode("utf-8", "replace"),
            "client_ip": _CLIENT_IP,
        }
        while len(self._requests) > _MAX_REQUESTS:
            del self._requests[next(iter(self._requests))]

    def answer(self, body: bytes) -> str | int:
        """Return the answer of openapi/rid/get, or an errcode."""
        try:
            rid = json.loads(body)["rid"]
        except (ValueError, TypeError, KeyError):
            return 47001
        request = self._requests.get(rid) if isinstance(rid, str) else None
        if request is None:
            return 76001
        return json.dumps({"errcode": 0, "errmsg": "ok", "request": request})
