"""Counts requests, retries and failures. Thread-safe."""

import threading
from collections import Counter

from syncjob.model.quota import UNANSWERED, Failed


class Tally:
    """Requests sent, how many of them are retries, and failures by endpoint and errcode."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = self._retries = 0
        self._failed: Counter[tuple[str, str]] = Counter()

    def call(self) -> None:
        """Count a request that is about to be sent."""
        with self._lock:
            self._calls += 1

    def retry(self) -> None:
        """Count the next request as a retry."""
        with self._lock:
            self._retries += 1

    def fail(self, cgi_path: str, errcode: int | None) -> None:
        """Count a failed request; `errcode` None: WeChat did not answer."""
        error = UNANSWERED if errcode is None else str(errcode)
        with self._lock:
            self._failed[cgi_path, error] += 1

    @property
    def counts(self) -> tuple[int, int, tuple[Failed, ...]]:
        """Return calls, retries and failures; failures are sorted."""
        with self._lock:
            failed = tuple(Failed(*key, calls) for key, calls in sorted(self._failed.items()))
            return self._calls, self._retries, failed
