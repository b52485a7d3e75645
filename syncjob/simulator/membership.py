"""Follow periods and list membership; users are numbers, in the order of following.

Only users who followed, unfollowed or were hidden since the start need memory.
"""

from collections.abc import Callable

# A follow period in unix seconds. The start is a whole second, as in subscribe_time; the end of the
# open period is None.
Period = tuple[int, float | None]


class Membership:
    """At the start the first `founders` users follow; `founded_at` returns since when.

    `ever` is the number of users who ever followed, `unlisted` are those that are not listed.
    """

    def __init__(
        self, founders: int, founded_at: Callable[[int], int], clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self.ever = founders
        self._founded_at = founded_at
        self._periods: dict[int, list[Period]] = {}
        self._gone: set[int] = set()
        self._overridden: dict[int, bool] = {}  # listed or not, regardless of following
        self.unlisted: set[int] = set()

    @property
    def total(self) -> int:
        """The number of current followers."""
        return self.ever - len(self._gone)

    @property
    def listed(self) -> int:
        """The number of listed users."""
        return self.ever - len(self.unlisted)

    def join(self, n: int) -> range:
        """Add `n` new followers."""
        joined = range(self.ever, self.ever + n)
        now = int(self.clock())
        self._periods.update((index, [(now, None)]) for index in joined)
        self.ever += n
        return joined

    def leave(self, index: int) -> None:
        """End the user's follow period now; no effect if it has ended."""
        if index not in self._gone:
            *before, (since, _) = self.periods(index)
            self._periods[index] = [*before, (since, max(self.clock(), since))]
            self._gone.add(index)
            self._list(index)

    def come_back(self, index: int) -> None:
        """Begin another follow period now; no effect for a follower."""
        if index in self._gone:
            left = self._periods[index][-1][1] or 0
            # subscribe_time has whole seconds; an end and a start may share one.
            self._periods[index].append((max(int(self.clock()), int(left)), None))
            self._gone.remove(index)
            self._list(index)

    def set_listed(self, index: int, listed: bool | None) -> None:
        """List the user or not, regardless of following; None ends it."""
        if listed is None:
            self._overridden.pop(index, None)
        else:
            self._overridden[index] = listed
        self._list(index)

    def follows(self, index: int) -> bool:
        """Return whether the user follows now."""
        return index not in self._gone

    def since(self, index: int) -> int:
        """Return when the user's last follow period began."""
        known = self._periods.get(index)
        return known[-1][0] if known else self._founded_at(index)

    def periods(self, index: int) -> list[Period]:
        """Return all follow periods of the user, in order; that of a follower has no end."""
        return list(self._periods.get(index) or [(self._founded_at(index), None)])

    def _list(self, index: int) -> None:
        if self._overridden.get(index, self.follows(index)):
            self.unlisted.discard(index)
        else:
            self.unlisted.add(index)
