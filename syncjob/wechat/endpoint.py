"""The description of an endpoint: method, path, parser, retry limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

# Requests of one call, retries included.
ATTEMPTS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[T]):
    """One endpoint and how its answers are read.

    `parse` turns the decoded answer into the result, or raises MalformedReply. `documented` is a
    fast path: it parses the bytes of an answer in the documented form, and returns None for others.
    `attempts` limits the requests of a call, `garbled_attempts` those after broken JSON.
    `keys`: a good answer has at least one of them. JSON without any, and without errcode, does not
    come from WeChat.
    `bare`: an answer that is not a JSON object is taken as the value of this key.
    `issues_tokens`: some errcodes mean something else here.
    """

    method: str
    path: str
    parse: Callable[[dict[str, Any]], T]
    keys: frozenset[str] = frozenset()
    documented: Callable[[bytes], T | None] | None = None
    garbled_attempts: int = ATTEMPTS
    attempts: int = ATTEMPTS
    bare: str | None = None
    issues_tokens: bool = False
