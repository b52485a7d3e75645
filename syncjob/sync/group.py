"""Answers that wait to be stored together."""

import time
from collections import deque

from syncjob.model import Answers

# Groups of a hundred cost the database twice as much an answer as groups of two thousand.
GROUP = 2_000
GROUP_SECONDS = 0.5


class Group:
    """Answers of batches in the order in which they came; so many of them are stored at a time."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Answers]] = deque()
        self._answers = 0

    @property
    def batches(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, answers: Answers) -> None:
        """Add those of a batch."""
        self._waiting.append((time.monotonic(), answers))
        self._answers += len(answers)

    @property
    def seconds_left(self) -> float | None:
        """Until they are due; None for no answers."""
        if not self._waiting:
            return None
        began, _ = self._waiting[0]
        return max(0.0, began + GROUP_SECONDS - time.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether some are to be stored now."""
        return self._answers >= GROUP or self.seconds_left == 0

    def take(self) -> tuple[Answers, int]:
        """Return the first GROUP answers, no batch being divided, and of how many batches."""
        taken, batches = Answers(), 0
        while self._waiting and len(taken) < GROUP:
            taken.extend(self._waiting.popleft()[1])
            batches += 1
        self._answers -= len(taken)
        return taken, batches
