"""Fields of single users that a test has changed.

A value is the JSON text in the body, with bytes that are not UTF-8 as lone surrogates. None means
that the key is left out.
"""

import json
from collections.abc import Mapping

from syncjob.simulator.profiles import QUIRKS

Changes = dict[str, str | None]

# The quirk with an invalid escape, which no JSON parser accepts.
_UNREADABLE = QUIRKS[-1]


class Overrides:
    """The changed fields by user; every `quirk_every`-th user also has one of the QUIRKS."""

    def __init__(self, quirk_every: int) -> None:
        self._quirk_every = quirk_every
        self._changed: dict[int, Changes] = {}
        self._garbled: set[int] = set()

    def set(self, index: int, fields: Mapping[str, object]) -> None:
        """Send these values, of any JSON type."""
        self._add(index, {name: as_json(value) for name, value in fields.items()})

    def omit(self, index: int, names: tuple[str, ...]) -> None:
        """Leave these keys out."""
        self._add(index, dict.fromkeys(names))

    def wire(self, index: int, fields: Mapping[str, bytes]) -> None:
        """Send these bytes in place of the JSON values."""
        self._add(index, dict(_raw(fields)))

    def garble(self, index: int, garbled: bool) -> None:
        """Make the user's profile invalid JSON, or undo it."""
        (self._garbled.add if garbled else self._garbled.discard)(index)

    def of(self, index: int) -> Changes:
        """Return the changed fields of the user."""
        changes = self._changed.get(index, {})
        if self._quirk_every and index % self._quirk_every == 0:
            quirk = QUIRKS[index // self._quirk_every % len(QUIRKS)]
            changes = {**_raw(quirk), **changes}
        if index in self._garbled:
            changes = {**changes, **_raw(_UNREADABLE)}
        return changes

    def _add(self, index: int, changes: Changes) -> None:
        self._changed.setdefault(index, {}).update(changes)


def as_json(value: object) -> str:
    """Return the JSON text of a value, as WeChat writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate can only be sent as an escape
        return json.dumps(value, separators=(",", ":"))
    return text


def from_json(value: str) -> object:
    """Return the value of a JSON text, or its bytes if it is invalid."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        read: object = json.loads(raw.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return raw
    return read


def _raw(fields: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode("utf-8", "surrogateescape") for name, value in fields.items()}
