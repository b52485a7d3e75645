"""Whether batches are trusted where they change unionids.

An account that is moved to another Open Platform has new unionids, all of them; one batch may have
been shifted, so that each entry carries its neighbour's.
"""

import logging
import threading

logger = logging.getLogger(__name__)

ENOUGH = 100


class Moves:
    """Counts how often user/info has confirmed a unionid that a batch changed. Thread-safe.

    After `enough` confirmations without a contradiction, batches are trusted; a contradiction
    starts the count again.
    """

    def __init__(self, enough: int = ENOUGH) -> None:
        self._enough = enough
        self._lock = threading.Lock()
        self._confirmed = 0
        self._said = False

    @property
    def believed(self) -> bool:
        """Whether a batch is trusted once one of its changes is confirmed."""
        return self._confirmed >= self._enough

    def note_confirmed(self) -> None:
        """Note that user/info says the same as the batch."""
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
        """Note that user/info contradicts the batch."""
        with self._lock:
            self._confirmed = 0
