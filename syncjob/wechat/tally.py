"""Counts what is sent and what comes of it. Thread-safe."""

import threading
from collections import Counter

from syncjob.model import UNANSWERED, Failed


class Tally:
    """How many requests were sent, how many repeat another, and which errors came back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = self._retries = 0
        self._failed: Counter[tuple[str, str]] = Counter()

    def call(self) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            self._calls += 1

    def retry(self) -> None:
        """Count that the next request repeats one."""
        with self._lock:
            self._retries += 1

    def fail(self, cgi_path: str, errcode: int | None) -> None:
        """Count a request that did not bring what was asked for; None: no answer of WeChat's."""
        error = UNANSWERED if errcode is None else str(errcode)
        with self._lock:
            self._failed[cgi_path, error] += 1

    @property
    def counts(self) -> tuple[int, int, tuple[Failed, ...]]:
        """Return calls, retries and failures, the last always in the same order."""
        with self._lock:
            failed = tuple(Failed(*key, calls) for key, calls in sorted(self._failed.items()))
            return self._calls, self._retries, failed
