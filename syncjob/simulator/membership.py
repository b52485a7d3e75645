"""Who follows, since when, and whom the list shows; people are numbers, in order of following.

Only those who came, left or were hidden since the account was made take up memory.
"""

from collections.abc import Callable

# A period of following in unix seconds: whole ones for its start, as WeChat tells it; None for
# the end of one that lasts.
Period = tuple[int, float | None]


class Membership:
    """The first `founders` people follow already, since what `founded_at` says of each.

    `ever` is how many ever followed; `unlisted` are those of them whom the list does not show.
    """

    def __init__(
        self, founders: int, founded_at: Callable[[int], int], clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self.ever = founders
        self._founded_at = founded_at
        self._periods: dict[int, list[Period]] = {}
        self._gone: set[int] = set()
        self._overridden: dict[int, bool] = {}  # what the list says of someone, whatever is true
        self.unlisted: set[int] = set()

    @property
    def total(self) -> int:
        """How many follow now."""
        return self.ever - len(self._gone)

    @property
    def listed(self) -> int:
        """How many the list shows now."""
        return self.ever - len(self.unlisted)

    def join(self, n: int) -> range:
        """Let `n` new people follow from now on."""
        joined = range(self.ever, self.ever + n)
        now = int(self.clock())
        self._periods.update((index, [(now, None)]) for index in joined)
        self.ever += n
        return joined

    def leave(self, index: int) -> None:
        """End the person's period of following now; someone who already left stays gone."""
        if index not in self._gone:
            *before, (since, _) = self.periods(index)
            self._periods[index] = [*before, (since, max(self.clock(), since))]
            self._gone.add(index)
            self._list(index)

    def come_back(self, index: int) -> None:
        """Begin another period of following now, for someone who left."""
        if index in self._gone:
            left = self._periods[index][-1][1] or 0
            # WeChat tells whole seconds; one of them may hold an end and a start.
            self._periods[index].append((max(int(self.clock()), int(left)), None))
            self._gone.remove(index)
            self._list(index)

    def set_listed(self, index: int, listed: bool | None) -> None:
        """Have the list show the person or not, whatever is true; None for what is true."""
        if listed is None:
            self._overridden.pop(index, None)
        else:
            self._overridden[index] = listed
        self._list(index)

    def follows(self, index: int) -> bool:
        """Tell whether the person follows now."""
        return index not in self._gone

    def since(self, index: int) -> int:
        """Return when the person's last period of following began."""
        known = self._periods.get(index)
        return known[-1][0] if known else self._founded_at(index)

    def periods(self, index: int) -> list[Period]:
        """Return all periods of the person, in order; the last one of a follower has no end."""
        return list(self._periods.get(index) or [(self._founded_at(index), None)])

    def _list(self, index: int) -> None:
        if self._overridden.get(index, self.follows(index)):
            self.unlisted.discard(index)
        else:
            self.unlisted.add(index)
