"""Scripted faults: which call of which endpoint fails, and how.

The format of a fault is ENDPOINT=WHAT[@CALLS], see `FaultScript.add`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from syncjob.simulator.answers import Answer
from syncjob.simulator.switches import ENDPOINTS

_SPEC = re.compile(r"([^=@]+)=([^=@]+)(?:@([0-9]+)(-)?([0-9]+)?)?")
_WHAT = re.compile(
    r"-?[1-9][0-9]{0,8}|string-(?:errcode|0|-?[1-9][0-9]{0,8})|zero-errcode|html|http-[3-5][0-9]{2}"
    r"|empty|cut|tear|drop|hang|slow-[0-9]{1,7}|garbage|text-plain|bom"
)
_PAGE = (
    b"<html>\r\n<head><title>%(title)s</title></head>\r\n<body>\r\n<center><h1>%(title)s</h1>"
    b"</center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

WHATS = (
    "an errcode such as -1, 40001 or 45009",
    "string-ERRCODE, the same as a string (string-errcode: string--1)",
    "zero-errcode, the right answer with errcode 0 added (string-0: as a string)",
    "html, a web page with status 200",
    "http-NNN, a web page with that status",
    "empty, no body",
    "cut, half of the JSON",
    "tear, the connection closed in mid-body",
    "drop, the connection closed without an answer",
    "hang, no answer ever",
    "slow-MS, the right answer, so many milliseconds late",
    "garbage, bytes that are no JSON",
    "text-plain, the right answer as text/plain without a charset",
    "bom, the right answer after a byte order mark",
)


@dataclass(frozen=True)
class Fault:
    """One parsed spec: calls `first` to `last` of `endpoint` fail with the fault `what`."""

    spec: str
    endpoint: str
    what: str
    first: int
    last: float

    def hits(self, endpoint: str, call: int, overall: int) -> bool:
        """Return whether the `call`-th call of `endpoint`, the `overall`-th of all, fails."""
        number = overall if self.endpoint == "*" else call
        return self.endpoint in ("*", endpoint) and self.first <= number <= self.last


class FaultScript:
    """The active faults; may be changed while the simulator serves."""

    def __init__(self) -> None:
        self._faults: tuple[Fault, ...] = ()

    def add(self, spec: str) -> None:
        """Activate a fault: ENDPOINT=WHAT[@CALLS].

        ENDPOINT: token, stable_token, user/get, user/info, user/info/batchget, or * for all.
        WHAT: see `WHATS`. CALLS: 3, 3-5 or 3-, counted from 1 since the start of the simulator, by
        endpoint (for *: over all endpoints); without it every call fails. If several faults match
        a call, the first one added applies. Raises ValueError for an invalid spec.
        """
        self._faults = (*self._faults, parse_fault(spec))

    def clear(self) -> None:
        """Deactivate all faults."""
        self._faults = ()

    def find(self, endpoint: str, call: int, overall: int) -> Fault | None:
        """Return the fault for the call, if any."""
        for fault in self._faults:
            if fault.hits(endpoint, call, overall):
                return fault
        return None


def parse_fault(spec: str) -> Fault:
    """Parse a spec; see `FaultScript.add` for the format and the error."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ValueError(f"fault {spec!r} does not read ENDPOINT=WHAT[@CALLS], with CALLS 3 or 3-5")
    endpoint, what, start, dash, end = match.groups()
    if endpoint not in (*ENDPOINTS, "*"):
        raise ValueError(f"fault {spec!r}: no endpoint {endpoint!r}; {', '.join(ENDPOINTS)} or *")
    if not _WHAT.fullmatch(what):
        raise ValueError(f"fault {spec!r}: {what!r} is none of: {'; '.join(WHATS)}")
    first = int(start or 1)
    last = float(end or ("inf" if dash or not start else start))
    if first < 1 or last < first:
        raise ValueError(f"fault {spec!r}: calls count from 1 up, and the first comes first")
    return Fault(spec, endpoint, what, first, last)


def faulty_answer(
    what: str, normal: Callable[[], Answer], error: Callable[[int, bool], Answer]
) -> Answer:
    """Return an answer with the fault `what`.

    `normal` makes the correct answer, with its side effects such as a counted call. `error` makes
    an error answer from an errcode and whether to send it as a string.
    """
    if re.fullmatch(r"-?[0-9]+", what):
        return error(int(what), False)
    if what in ("drop", "hang"):
        return Answer(action="drop" if what == "drop" else "hang")
    if what == "empty":
        return Answer()
    if what == "garbage":
        return Answer(b"\x00\xff\xfe\x80not json\xc3")
    if what == "html":
        return _web_page(200, b"Welcome")
    if what.startswith("http-"):
        return _web_page(int(what[5:]), what[5:].encode() + b" Gateway trouble")
    if what == "string-errcode":
        return error(-1, True)
    if what.startswith("string-") and what != "string-0":
        return error(int(what.removeprefix("string-")), True)
    answer = normal()
    body = answer.body
    if what in ("string-0", "zero-errcode") and answer.errcode is None:
        zero = b'"0"' if what == "string-0" else b"0"
        return replace(answer, body=b'{"errcode":' + zero + b',"errmsg":"ok",' + body[1:])
    if what == "cut":
        return replace(answer, body=body[: len(body) // 2])
    if what == "tear":
        return replace(answer, action="tear")
    if what == "text-plain":
        return replace(answer, content_type="text/plain")
    if what == "bom":
        return replace(answer, body=b"\xef\xbb\xbf" + body)
    if what.startswith("slow-"):
        return replace(answer, delay=int(what[5:]) / 1000)
    return answer


def _web_page(status: int, title: bytes) -> Answer:
    return Answer(_PAGE % {b"title": title}, status, "text/html")
