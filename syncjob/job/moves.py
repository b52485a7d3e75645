"""Whether batches are believed where they change unionids.

An account that is moved to another Open Platform has new unionids, all of them; one batch may have
been shifted, so that each entry carries its neighbour's.
"""

import logging
import threading

logger = logging.getLogger(__name__)

ENOUGH = 100


class Moves:
    """What user/info has said of the unionids that batches changed. Thread-safe.

    After `enough` confirmations without one contradiction batches are believed; a contradiction
    ends that, and it takes as many again.
    """

    def __init__(self, enough: int = ENOUGH) -> None:
        self._enough = enough
        self._lock = threading.Lock()
        self._confirmed = 0
        self._said = False

    @property
    def believed(self) -> bool:
        """Whether a batch is believed, if one of its changes is confirmed."""
        return self._confirmed >= self._enough

    def note_confirmed(self) -> None:
        """user/info says the same as the batch."""
        with self._lock:
            self._confirmed += 1
            said, self._said = self._said, self._said or self.believed
        if self._said and not said:
            logger.warning(
                "All unionids have changed, as when an account moves to another Open Platform; "
                "batches are believed from now on. confirmed=%d",
                self._confirmed,
            )

    def note_contradiction(self) -> None:
        """user/info says something else than the batch."""
        with self._lock:
            self._confirmed = 0
