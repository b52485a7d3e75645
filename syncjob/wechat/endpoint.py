"""What there is to know of an endpoint before it is called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

# How often a call is sent in all, where that can help.
ATTEMPTS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[T]):
    """One endpoint, and how its answers are read.

    `parse` makes of a decoded answer what the call returns, or raises MalformedReply. `documented`
    reads an answer that is as documented faster, from its bytes, and returns None for every other.
    `garbled_attempts` is how often an answer of WeChat's own that is no JSON is worth asking for,
    `attempts` any other.
    `keys` are those of which every good answer has at least one: JSON with none of them, and no
    errcode, is not WeChat's.
    With `bare`, an answer that is no JSON object is taken for the value of that key. Where an
    endpoint `issues_tokens`, some errcodes mean something else.
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
