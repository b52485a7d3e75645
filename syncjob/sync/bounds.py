"""How much of its work a run may do: for a first taste, or to do it in slices."""

from collections.abc import Sequence


class Bounds:
    """At most so many pages, and so many batches of OpenIDs; None: all there are.

    Used by one thread. `reached` tells whether anything was left undone for it.
    """

    def __init__(self, pages: int | None, batches: int | None, batch_size: int) -> None:
        self._pages = pages
        self._batches = batches
        self._batch_size = batch_size
        self.reached = False

    def take_page(self) -> bool:
        """Take one of the pages; return False if none is left."""
        if self._pages is None:
            return True
        if self._pages <= 0:
            self.reached = True
            return False
        self._pages -= 1
        return True

    def take(self, openids: Sequence[str]) -> Sequence[str]:
        """Return as many of the OpenIDs as may still be asked about."""
        if self._batches is None:
            return openids
        taken = openids[: self._batches * self._batch_size]
        self._batches -= -(-len(taken) // self._batch_size)
        self.reached = self.reached or len(taken) < len(openids)
        return taken
