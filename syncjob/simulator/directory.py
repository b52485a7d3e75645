"""The OpenID, unionid and list position of each user; users are numbers.

Every number below `size` has an OpenID and a position, whether the user ever followed or not.
"""

from collections.abc import Iterator

from syncjob.simulator.openids import ListOrder, OpenIds

_MAX_RECENT = 1 << 16  # OpenIDs
_PREFIX = 6  # characters that all OpenIDs of an account share


class Directory:
    """OpenIDs for at least `capacity` users, derived from `seed`.

    Clients fetch the profiles of the users just listed, so the numbers of recent OpenIDs are
    cached: a lookup takes a tenth of the time of decoding.
    """

    def __init__(self, seed: int, capacity: int) -> None:
        self._order = ListOrder(seed, max(capacity - 1, 1).bit_length())
        self.size = self._order.size
        self._openids = OpenIds(seed, "openid", self.size)
        self._seed = seed
        self._unionid_prefixes = [OpenIds(seed, "unionid", self.size).prefix]
        self._recent: dict[str, int] = {}

    def openid(self, index: int) -> str:
        """Return the OpenID of the `index`-th user."""
        return self._openids.encode(self._order.key(index))

    def move_unionids(self) -> None:
        """Give every user another unionid: those of another Open Platform."""
        of_platform = f"unionid {len(self._unionid_prefixes)}"
        self._unionid_prefixes.append(OpenIds(self._seed, of_platform, self.size).prefix)

    def unionid(self, openid: str) -> str:
        """Return the unionid of an OpenID, made of its reversed characters."""
        return self.unionids(openid)[-1]

    def unionids(self, openid: str) -> list[str]:
        """Return all unionids that the OpenID ever had, newest last."""
        return [prefix + openid[: _PREFIX - 1 : -1] for prefix in self._unionid_prefixes]

    def index(self, openid: str) -> int | None:
        """Return the number of the user with the OpenID, None if there is none."""
        known = self._recent.get(openid)
        if known is not None:
            return known
        place = self._openids.decode(openid)
        return None if place is None else self._order.index(place)

    def place(self, openid: str) -> int | None:
        """Return the list position of the OpenID, None if it is nobody's."""
        return self._openids.decode(openid)

    def well_formed(self, openid: str) -> bool:
        """Return whether `openid` has the format of this account's OpenIDs."""
        return self._openids.well_formed(openid)

    def listed(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield position and index of every user from position `start` to before `end`."""
        index = self._order.index
        return ((place, index(place)) for place in range(start, end))

    def openid_at(self, place: int, index: int) -> str:
        """Return the OpenID at that position, and cache its index."""
        if len(self._recent) >= _MAX_RECENT:
            self._recent.clear()
        openid = self._openids.encode(place)
        self._recent[openid] = index
        return openid
