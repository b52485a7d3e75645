"""Who has which OpenID, which unionid, and which place in the list; people are numbers.

Nothing here knows who ever followed: everybody up to `size` has a name and a place.
"""

from collections.abc import Iterator

from syncjob.simulator.openids import ListOrder, OpenIds

_MAX_RECENT = 1 << 16  # OpenIDs
_PREFIX = 6  # characters that all OpenIDs of an account share


class Directory:
    """Room for `capacity` people or some more, the same for the same `seed`.

    Whoever was just listed is asked about next, so their numbers are kept for a while: that takes
    a tenth of what it takes to decipher an OpenID.
    """

    def __init__(self, seed: int, capacity: int) -> None:
        self._order = ListOrder(seed, max(capacity - 1, 1).bit_length())
        self.size = self._order.size
        self._openids = OpenIds(seed, "openid", self.size)
        self._seed = seed
        self._unionid_prefixes = [OpenIds(seed, "unionid", self.size).prefix]
        self._recent: dict[str, int] = {}

    def openid(self, index: int) -> str:
        """Return the OpenID of the `index`-th person."""
        return self._openids.encode(self._order.key(index))

    def move_unionids(self) -> None:
        """Give everybody another unionid: those of another Open Platform."""
        of_platform = f"unionid {len(self._unionid_prefixes)}"
        self._unionid_prefixes.append(OpenIds(self._seed, of_platform, self.size).prefix)

    def unionid(self, openid: str) -> str:
        """Return the unionid behind an OpenID: its own characters, backwards."""
        return self.unionids(openid)[-1]

    def unionids(self, openid: str) -> list[str]:
        """Return the unionids that the OpenID has ever had, the newest last."""
        return [prefix + openid[: _PREFIX - 1 : -1] for prefix in self._unionid_prefixes]

    def index(self, openid: str) -> int | None:
        """Return whose OpenID it is, None if nobody's."""
        known = self._recent.get(openid)
        if known is not None:
            return known
        place = self._openids.decode(openid)
        return None if place is None else self._order.index(place)

    def place(self, openid: str) -> int | None:
        """Return the place of that person in the list, None if it is nobody's OpenID."""
        return self._openids.decode(openid)

    def well_formed(self, openid: str) -> bool:
        """Tell whether `openid` looks like one of this account, named or not."""
        return self._openids.well_formed(openid)

    def listed(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield place and index of everybody from place `start` on, before `end`."""
        index = self._order.index
        return ((place, index(place)) for place in range(start, end))

    def openid_at(self, place: int, index: int) -> str:
        """Return the OpenID of the person at that place, and keep it in mind."""
        if len(self._recent) >= _MAX_RECENT:
            self._recent.clear()
        openid = self._openids.encode(place)
        self._recent[openid] = index
        return openid
