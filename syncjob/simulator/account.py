"""The followers of a simulated Official Account.

Followers are a function of their index, and only changes are stored: five million followers need
no more memory than five. No HTTP and no tokens here.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from syncjob.simulator.directory import Directory
from syncjob.simulator.faults import parse_fault
from syncjob.simulator.membership import Membership, Period
from syncjob.simulator.overrides import Changes, Overrides, as_json, from_json
from syncjob.simulator.profiles import Era, Profiles, Shape

_FIRST_FOLLOW = 1_420_041_600  # 2015-01-01, Beijing time
_LAST_FOLLOW = 1_735_660_800  # 2025-01-01; later ones are stamped by the clock
_SMALLEST_CAPACITY = 1 << 14


class Account:
    """An Official Account with `followers` followers, the same ones for the same `seed`.

    `capacity` limits how many users may ever follow (default: twice the followers, at least
    16 384). `profiles` selects the shape of profiles: "today" (names and avatars empty), "full"
    (as before 2021) or "docs" (keys absent). `unfollowed` selects the shape of a user who left.
    `unionid` False means no Open Platform. Every `quirk_every`-th user has one of
    `profiles.QUIRKS` in a field; some of these are invalid JSON. `clock` returns unix seconds, in
    2025 or later, and dates follows and unfollows; a Simulator sets it to its own clock.
    Raises ValueError for an invalid number or name.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        capacity = max(2 * followers, _SMALLEST_CAPACITY) if capacity is None else capacity
        if followers < 0 or quirk_every < 0 or capacity < max(followers, 1):
            raise ValueError("followers and quirk_every cannot be negative nor pass the capacity")
        if profiles not in get_args(Era) or unfollowed not in get_args(Shape):
            raise ValueError(f"no such shape of profile: {profiles!r}, {unfollowed!r}")
        self.seed = seed
        self._directory = Directory(seed, capacity)
        self._profiles = Profiles(seed, profiles, unfollowed)
        self._unionid = unionid
        self._founders = followers
        self._members = Membership(followers, self._founded_at, clock)
        self._overrides = Overrides(quirk_every)
        self._refused, self._refused_alone = dict[int, int](), dict[int, int]()  # errcodes
        self._forgotten: set[int] = set()
        self._blank: set[int] = set()
        self._unionless: set[int] = set()
        self._failing: dict[int, str] = {}
        self._misnamed: dict[int, str] = {}

    @property
    def total(self) -> int:
        """The number of current followers."""
        return self._members.total

    @property
    def listed(self) -> int:
        """The number of users in the list: `total`, unless `hide` or `linger` are in use."""
        return self._members.listed

    @property
    def ever(self) -> int:
        """The number of users who ever followed."""
        return self._members.ever

    @property
    def end(self) -> int:
        """The list position after the last possible one."""
        return self._directory.size

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that dates follows and unfollows."""
        return self._members.clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self._members.clock = clock

    def follow(self, n: int = 1) -> list[str]:
        """Add `n` new followers and return their OpenIDs, in the order of following."""
        if self.ever + n > self.end:
            raise ValueError(f"the account is full: capacity {self.end}")
        return [self.openid(index) for index in self._members.join(n)]

    def unfollow(self, openid: str) -> None:
        """Let the user unfollow; no effect if they already have."""
        self._members.leave(self._index(openid))

    def refollow(self, openid: str) -> None:
        """Let the user follow again, with a new subscribe_time."""
        self._members.come_back(self._index(openid))

    def periods(self, openid: str) -> list[Period]:
        """Return the user's follow periods, start and end in unix seconds."""
        return self._members.periods(self._index(openid))

    def hide(self, openid: str) -> None:
        """Keep the user out of the list until `show`. Other endpoints are not affected."""
        self._members.set_listed(self._index(openid), False)

    def linger(self, openid: str) -> None:
        """Keep the user in the list until `show`, even if they left. Other endpoints are right."""
        self._members.set_listed(self._index(openid), True)

    def show(self, openid: str) -> None:
        """End `hide` and `linger` for the user."""
        self._members.set_listed(self._index(openid), None)

    def override(self, openid: str, **fields: object) -> None:
        """Send these values, of any JSON type, in the user's fields."""
        self._overrides.set(self._index(openid), fields)

    def omit(self, openid: str, *fields: str) -> None:
        """Leave these keys out of the user's entry."""
        self._overrides.omit(self._index(openid), fields)

    def wire(self, openid: str, fields: dict[str, bytes]) -> None:
        """Send raw bytes, quotes included, in place of the fields' JSON values."""
        self._overrides.wire(self._index(openid), fields)

    def garble(self, openid: str) -> None:
        """Make every answer with the user's profile invalid JSON."""
        self._overrides.garble(self._index(openid), True)

    def poison(self, openid: str) -> None:
        """Make every batch with this OpenID fail with 40003, and user/info for it too."""
        self.refuse(openid)

    def refuse(self, openid: str, errcode: int = 40003, *, batches: bool = True) -> None:
        """Make user/info for the user, and each batch with them, fail with `errcode`.

        Without `batches` only user/info fails; batchget reports the user as unfollowed.
        """
        index = self._index(openid)
        (self._refused if batches else self._refused_alone)[index] = errcode

    def forget(self, openid: str) -> None:
        """Leave the user out of batchget's answers; user/info still answers."""
        self._forgotten.add(self._index(openid))

    def blank(self, openid: str) -> None:
        """Make batchget report the user as unfollowed, wrongly; user/info is right."""
        self._blank.add(self._index(openid))

    def hide_unionid(self, openid: str) -> None:
        """Make batchget leave out the user's unionid; user/info sends it."""
        self._unionless.add(self._index(openid))

    def fail(self, openid: str, what: str) -> None:
        """Make every batch with this OpenID fail, and user/info for it: see faults.WHATS."""
        self._failing[self._index(openid)] = parse_fault(f"*={what}").what

    def failure(self, openids: Iterable[str]) -> str | None:
        """Return the fault of a call about these OpenIDs, None if there is none."""
        if not self._failing:
            return None
        indexes = (self.find(openid) for openid in openids)
        return next((self._failing[index] for index in indexes if index in self._failing), None)

    def bind(self, unionid: bool = True) -> None:
        """Bind the account to an Open Platform, so that users have unionids; or unbind it."""
        self._unionid = unionid

    def move_unionids(self) -> None:
        """Bind the account to another Open Platform: all unionids change at once."""
        self._directory.move_unionids()

    def misname(self, openid: str, unionid: str) -> None:
        """Make batchget send another unionid for the user; user/info sends the right one."""
        self._misnamed[self._index(openid)] = unionid

    def cure(self, openid: str) -> None:
        """Undo every fault that makes answers about the user wrong or missing."""
        index = self._index(openid)
        self._failing.pop(index, None)
        self._misnamed.pop(index, None)
        self._overrides.garble(index, False)
        self._refused.pop(index, None)
        self._refused_alone.pop(index, None)
        for marked in (self._forgotten, self._blank, self._unionless):
            marked.discard(index)

    def openid(self, index: int) -> str:
        """Return the OpenID of the `index`-th follower, counted from 0."""
        if not 0 <= index < self.ever:
            raise ValueError(f"nobody followed as number {index}")
        return self._directory.openid(index)

    def stranger(self, n: int = 0) -> str:
        """Return the n-th well-formed OpenID that belongs to nobody."""
        if self.ever + n >= self.end:
            raise ValueError("the account is full: every OpenID belongs to somebody")
        return self._directory.openid(self.end - 1 - n)

    def openids(self) -> Iterator[str]:
        """Yield the listed OpenIDs, in the order of WeChat's list."""
        start = 0
        while start < self.end:
            page, start = self.page(start, 10_000)
            yield from page

    def user(self, openid: str) -> dict[str, object]:
        """Return the user's profile as user/info should send it.

        The value of a field that is invalid JSON is its bytes. Raises ValueError for an OpenID
        that nobody ever had.
        """
        index = self._index(openid)
        changes = self._overrides.of(index)
        user: dict[str, object] = json.loads(self._plain(index, openid, batch=False))
        if self.follows(index):
            for name, value in changes.items():
                user.pop(name, None)
                if value is not None:
                    user[name] = from_json(value)
        return user

    # The methods below are for the endpoints.

    def find(self, openid: str) -> int | None:
        """Return the index of the user, None if nobody ever had this OpenID."""
        index = self._directory.index(openid)
        return index if index is not None and index < self.ever else None

    def place(self, openid: str) -> int | None:
        """Return the user's list position, following or not, None if nobody has the OpenID."""
        return None if self.find(openid) is None else self._directory.place(openid)

    def page(self, start: int, size: int, end: int | None = None) -> tuple[list[str], int]:
        """Return up to `size` OpenIDs from position `start` on, and the position to continue at.

        The list ends before position `end` (default: at its real end). If nobody is listed after
        the page, the position to continue at is `end`.
        """
        found: list[str] = []
        ever, unlisted = self.ever, self._members.unlisted
        end = self.end if end is None else end
        for place, index in self._directory.listed(start, end):
            if index < ever and index not in unlisted:
                if len(found) == size:
                    return found, place
                found.append(self._directory.openid_at(place, index))
        return found, end

    def follows(self, index: int) -> bool:
        """Return whether the user follows now."""
        return self._members.follows(index)

    def lost(self, index: int | None) -> bool:
        """Return whether batchget sends no follower's entry: unknown, unfollowed or faked."""
        return (
            index is None
            or not self.follows(index)
            or index in self._blank
            or index in self._forgotten
            or index in self._refused_alone
        )

    def refusal(self, openid: str, index: int | None, *, batch: bool) -> int | None:
        """Return the errcode with which WeChat refuses the OpenID, None if it does not.

        40003 for a malformed OpenID or one of another account.
        """
        if index is None:
            return None if self._directory.well_formed(openid) else 40003
        refused = self._refused.get(index)
        return refused if batch or refused is not None else self._refused_alone.get(index)

    def forgets(self, index: int) -> bool:
        """Return whether batchget leaves this user out."""
        return index in self._forgotten

    def describe(self, index: int | None, openid: str, *, batch: bool) -> str:
        """Return the user's JSON object as text, with raw bytes as lone surrogates.

        `batch`: as in batchget, where `blank` and `hide_unionid` apply. An index of None is an
        unknown user, which WeChat reports as unfollowed.
        """
        if index is None:
            return self._profiles.unfollowed(openid, None)
        text = self._plain(index, openid, batch=batch)
        changes = self._overrides.of(index)
        if not changes or not text.startswith('{"subscribe":1'):
            return text
        fields: Changes = {name: as_json(value) for name, value in json.loads(text).items()}
        for name, value in changes.items():
            if value is None or (batch and name == "unionid" and index in self._unionless):
                fields.pop(name, None)
            else:
                fields[name] = value
        return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"

    def unionid(self, index: int) -> str | None:
        """Return the user's unionid, None for an account outside the Open Platform."""
        directory = self._directory
        return directory.unionid(directory.openid(index)) if self._unionid else None

    def unionids(self, openid: str) -> list[str]:
        """Return all unionids that the user ever had, newest last."""
        return self._directory.unionids(openid)

    def _index(self, openid: str) -> int:
        index = self.find(openid)
        if index is None:
            raise ValueError(f"nobody ever followed as {openid!r}")
        return index

    def _plain(self, index: int, openid: str, *, batch: bool) -> str:
        unionid = self._directory.unionid(openid) if self._unionid else None
        reported_gone = batch and (index in self._blank or index in self._refused_alone)
        if reported_gone or not self.follows(index):
            return self._profiles.unfollowed(openid, unionid)
        if batch and index in self._unionless:
            unionid = None
        if batch and unionid is not None:
            unionid = self._misnamed.get(index, unionid)
        return self._profiles.followed(index, openid, self._members.since(index), unionid)

    def _founded_at(self, index: int) -> int:
        return _FIRST_FOLLOW + (_LAST_FOLLOW - _FIRST_FOLLOW) * index // self._founders
