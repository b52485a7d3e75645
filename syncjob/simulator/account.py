"""The population of a made-up Official Account.

Followers are a function of their index, and only what a test changed about them is stored: five
million people cost no more memory than five. Nothing here knows about HTTP, tokens or pages.
"""

import json
from collections.abc import Iterator
from typing import get_args

from syncjob.simulator.openids import ListOrder, OpenIds
from syncjob.simulator.profiles import QUIRKS, Era, Profiles, Shape

_FIRST_FOLLOW = 1_420_041_600  # 2015-01-01, Beijing time
_LAST_FOLLOW = 1_735_660_800  # 2025-01-01; whoever follows later does so a second apart
_SMALLEST_CAPACITY = 1 << 14


class Account:
    """An Official Account with `followers` followers, the same ones for the same `seed`.

    `capacity` bounds how many people may ever follow (default: twice the followers, at least
    16 384). `profiles` picks the era: "today" (names and avatars empty), "full" (as before
    2021) or "docs" (keys absent). `unfollowed` picks the shape of someone who left. `unionid`
    False means no Open Platform. Every `quirk_every`-th person to follow has one of the byte
    sequences of `profiles.QUIRKS` in a field; some of them no JSON parser can read.
    Raises ValueError for a number or a name that makes no sense.
    """

    def __init__(
        self,
        followers: int = 0,
        seed: int = 1,
        *,
        capacity: int | None = None,
        profiles: Era = "today",
        unfollowed: Shape = "wire-2025",
        unionid: bool = True,
        quirk_every: int = 0,
    ) -> None:
        capacity = max(2 * followers, _SMALLEST_CAPACITY) if capacity is None else capacity
        if followers < 0 or quirk_every < 0 or capacity < max(followers, 1):
            raise ValueError("followers and quirk_every cannot be negative nor pass the capacity")
        if profiles not in get_args(Era) or unfollowed not in get_args(Shape):
            raise ValueError(f"no such shape of profile: {profiles!r}, {unfollowed!r}")
        self.seed = seed
        self._order = ListOrder(seed, max(capacity - 1, 1).bit_length())
        self._openids = OpenIds(seed, "openid", self._order.size)
        self._unionids = OpenIds(seed, "unionid", self._order.size)
        self._profiles = Profiles(seed, profiles, unfollowed)
        self._unionid = unionid
        self._quirk_every = quirk_every
        self._founders = followers
        self._ever = followers
        self._returns = 0
        self._gone: set[int] = set()
        self._returned: dict[int, int] = {}
        self._changed: dict[int, dict[str, str | None]] = {}
        self._poisoned: set[int] = set()
        self._forgotten: set[int] = set()
        self._blank: set[int] = set()
        self._unionless: set[int] = set()

    @property
    def total(self) -> int:
        """How many people follow now."""
        return self._ever - len(self._gone)

    @property
    def ever(self) -> int:
        """How many people ever followed."""
        return self._ever

    @property
    def end(self) -> int:
        """The place in the list after the last one that there can be."""
        return self._order.size

    def follow(self, n: int = 1) -> list[str]:
        """Let `n` new people follow and return their OpenIDs, in the order of following."""
        if self._ever + n > self._order.size:
            raise ValueError(f"the account is full: capacity {self._order.size}")
        first, self._ever = self._ever, self._ever + n
        return [self.openid(index) for index in range(first, first + n)]

    def unfollow(self, openid: str) -> None:
        """Let the user leave; someone who already left stays gone."""
        self._gone.add(self._index(openid))

    def refollow(self, openid: str) -> None:
        """Let the user come back, with a new subscribe_time."""
        index = self._index(openid)
        if index in self._gone:
            self._returns += 1
            self._returned[index] = _LAST_FOLLOW + self._ever + self._returns
            self._gone.remove(index)

    def override(self, openid: str, **fields: object) -> None:
        """Have WeChat send these values, of any JSON type, in the user's fields."""
        changes = {name: _json(value) for name, value in fields.items()}
        self._changed.setdefault(self._index(openid), {}).update(changes)

    def omit(self, openid: str, *fields: str) -> None:
        """Have WeChat leave these keys out of the user's entry."""
        self._changed.setdefault(self._index(openid), {}).update(dict.fromkeys(fields))

    def wire(self, openid: str, fields: dict[str, bytes]) -> None:
        """Put raw bytes where the fields' JSON values would stand, quotes included."""
        raw = {name: value.decode("utf-8", "surrogateescape") for name, value in fields.items()}
        self._changed.setdefault(self._index(openid), {}).update(raw)

    def poison(self, openid: str) -> None:
        """Make every batch with this OpenID fail with 40003, and user/info for it too."""
        self._poisoned.add(self._index(openid))

    def forget(self, openid: str) -> None:
        """Leave the user out of batchget's answers; user/info still knows them."""
        self._forgotten.add(self._index(openid))

    def blank(self, openid: str) -> None:
        """Have batchget call the user unfollowed, wrongly; user/info is right."""
        self._blank.add(self._index(openid))

    def hide_unionid(self, openid: str) -> None:
        """Have batchget leave the user's unionid out; user/info shows it."""
        self._unionless.add(self._index(openid))

    def cure(self, openid: str) -> None:
        """Undo `poison`, `forget`, `blank` and `hide_unionid` for the user."""
        index = self._index(openid)
        for marked in (self._poisoned, self._forgotten, self._blank, self._unionless):
            marked.discard(index)

    def openid(self, index: int) -> str:
        """Return the OpenID of the `index`-th person to follow, counted from 0."""
        if not 0 <= index < self._ever:
            raise ValueError(f"nobody followed as number {index}")
        return self._openids.encode(self._order.key(index))

    def stranger(self, n: int = 0) -> str:
        """Return the n-th of the well-formed OpenIDs that belong to nobody."""
        if self._ever + n >= self._order.size:
            raise ValueError("the account is full: every OpenID belongs to somebody")
        return self._openids.encode(self._order.key(self._order.size - 1 - n))

    def openids(self) -> Iterator[str]:
        """Yield the OpenIDs of all who follow, in the order of WeChat's list."""
        start = 0
        while start < self._order.size:
            page, start = self.page(start, 10_000)
            yield from page

    def user(self, openid: str) -> dict[str, object]:
        """Return what user/info truly says about the user.

        A field with bytes that no JSON parser takes has those bytes as its value.
        Raises ValueError for an OpenID that was never given out.
        """
        index = self._index(openid)
        changes = self._changes(index)
        user: dict[str, object] = json.loads(self._plain(index, openid, batch=False))
        if index not in self._gone:
            for name, value in changes.items():
                user.pop(name, None)
                if value is not None:
                    user[name] = _read(value)
        return user

    # What follows is for the endpoints.

    def find(self, openid: str) -> int | None:
        """Return the index of the user, None if nobody ever had this OpenID."""
        key = self._openids.decode(openid)
        if key is None:
            return None
        index = self._order.index(key)
        return index if index < self._ever else None

    def place(self, openid: str) -> int | None:
        """Return the user's place in the list, followed or not, None if nobody has the OpenID."""
        return None if self.find(openid) is None else self._openids.decode(openid)

    def page(self, start: int, size: int) -> tuple[list[str], int]:
        """Return up to `size` OpenIDs from place `start` on, and the place to go on from.

        The place to go on from is past the list exactly when nobody follows after the page.
        """
        found: list[str] = []
        order, ever, gone, encode = self._order.index, self._ever, self._gone, self._openids.encode
        for key in range(start, self._order.size):
            index = order(key)
            if index < ever and index not in gone:
                if len(found) == size:
                    return found, key
                found.append(encode(key))
        return found, self._order.size

    def follows(self, index: int) -> bool:
        """Tell whether the user follows now."""
        return index not in self._gone

    def refuses(self, openid: str, index: int | None) -> bool:
        """Tell whether WeChat calls the OpenID invalid: malformed, another account's, poisoned."""
        if index is None:
            return not self._openids.well_formed(openid)
        return index in self._poisoned

    def forgets(self, index: int) -> bool:
        """Tell whether batchget leaves this user out."""
        return index in self._forgotten

    def describe(self, index: int | None, openid: str, *, batch: bool) -> str:
        """Return the user's JSON object as text; raw bytes stand as lone surrogates.

        With `batch` it is what batchget says, which `blank` and `hide_unionid` can make wrong.
        An index of None is someone unknown, whom WeChat describes as having left.
        """
        if index is None:
            return self._profiles.unfollowed(openid, None)
        text = self._plain(index, openid, batch=batch)
        changes = self._changes(index)
        if not changes or not text.startswith('{"subscribe":1'):
            return text
        fields = {name: _json(value) for name, value in json.loads(text).items()}
        for name, value in changes.items():
            if value is None or (batch and name == "unionid" and index in self._unionless):
                fields.pop(name, None)
            else:
                fields[name] = value
        return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"

    def unionid(self, index: int) -> str | None:
        """Return the user's unionid, None for an account outside the Open Platform."""
        return self._unionids.encode(index) if self._unionid else None

    def _index(self, openid: str) -> int:
        index = self.find(openid)
        if index is None:
            raise ValueError(f"nobody ever followed as {openid!r}")
        return index

    def _plain(self, index: int, openid: str, *, batch: bool) -> str:
        unionid = self.unionid(index)
        if index in self._gone or (batch and index in self._blank):
            return self._profiles.unfollowed(openid, unionid)
        if batch and index in self._unionless:
            unionid = None
        return self._profiles.followed(index, openid, self._subscribe_time(index), unionid)

    def _changes(self, index: int) -> dict[str, str | None]:
        changes = self._changed.get(index, {})
        if self._quirk_every and index % self._quirk_every == 0:
            quirk = QUIRKS[index // self._quirk_every % len(QUIRKS)]
            raw = {name: value.decode("utf-8", "surrogateescape") for name, value in quirk.items()}
            return raw | changes
        return changes

    def _subscribe_time(self, index: int) -> int:
        if index in self._returned:
            return self._returned[index]
        if index >= self._founders:
            return _LAST_FOLLOW + index - self._founders
        return _FIRST_FOLLOW + (_LAST_FOLLOW - _FIRST_FOLLOW) * index // self._founders


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate can travel as an escape only
        return json.dumps(value, separators=(",", ":"))
    return text


def _read(value: str) -> object:
    raw = value.encode("utf-8", "surrogateescape")
    try:
        read: object = json.loads(raw.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return raw
    return read
