"""Daily quotas: counts a run's calls and stops it before it uses up the account's share.

Quotas belong to the whole account, and are small: 500 lists a day. The reserve is left to the
account's other programs.
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Protocol

from syncjob.errors import QuotaExhausted, QuotaReserved
from syncjob.model.quota import QuotaInfo, QuotaState, Spent, quota_day, reserved_of

# Calls a day of a new account, used when WeChat does not answer
# (doc/service/Message_Management/API_Call_Limits.html). The page says 5 000 000 for user/info,
# consoles show 500 000; batchget is not listed and is assumed to have the same. stable_token is not
# documented.
DEFAULT_DAILY_QUOTAS = {
    "/cgi-bin/token": 2_000,
    "/cgi-bin/user/get": 500,
    "/cgi-bin/user/info": 500_000,
    "/cgi-bin/user/info/batchget": 500_000,
}
# Accounts of this size have higher limits; the documents do not say how much higher
# (doc/service/en/guide/dev/api/limit.html).
LARGE_ACCOUNT = 100_000


class QuotaBook(Protocol):
    """Stores a day's quotas for all runs of the account."""

    def get(self, cgi_path: str) -> QuotaState:
        """Return what is stored for the endpoint today."""

    def save(self, cgi_path: str, reported: QuotaInfo) -> None:
        """Store WeChat's answer."""


class Quotas:
    """Calls sent and calls left, by day and endpoint. Thread-safe.

    Without a `book` it only counts. `reserve` (0 to 1) is the share of a day's calls that is not
    used; with None, WeChat is not asked for limits, and only a 45009 of the same day stops calls.
    """

    def __init__(
        self,
        book: QuotaBook | None = None,
        *,
        reserve: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._book = book
        self._reserve = reserve
        self._now = now
        self._lock, self._learning = threading.Lock(), threading.Lock()
        self._calls: Counter[tuple[date, str]] = Counter()
        self._day = quota_day(now())
        self._left: dict[str, int | None] = {}  # None: no known limit
        self._daily: dict[str, int] = {}  # limit of a whole day, less the reserve
        self._guessed: set[str] = set()  # paths whose limit is the default of a new account
        self._exhausted: set[str] = set()
        self._is_large = False

    @property
    def spent(self) -> tuple[Spent, ...]:
        """Calls sent so far, sorted."""
        with self._lock:
            return tuple(Spent(*key, calls) for key, calls in sorted(self._calls.items()))

    def learn(self, cgi_path: str, ask: Callable[[], QuotaInfo | None]) -> None:
        """Fetch the endpoint's remaining quota once a day; `ask` asks WeChat.

        If it returns None, the documented quota of a new account is used.
        """
        if self._book is None or self._is_known(cgi_path):
            return
        with self._learning:
            if self._is_known(cgi_path):
                return
            state = self._book.get(cgi_path)
            reported = ask() if self._reserve is not None or state.exhausted else None
            if reported is not None:
                self._book.save(cgi_path, reported)
            self._set_left(cgi_path, state, reported)

    def spend(self, cgi_path: str) -> None:
        """Count a call before it is sent; raise QuotaExhausted if none is left."""
        if self._book is not None and not self._is_known(cgi_path):
            self._set_left(cgi_path, self._book.get(cgi_path), None)
        with self._lock:
            left = self._left.get(cgi_path)
            if left is not None:
                if left <= 0:
                    raise self._stop(cgi_path)
                self._left[cgi_path] = left - 1
            self._calls[self._day, cgi_path] += 1

    def get_left(self, cgi_path: str) -> tuple[int | None, int | None]:
        """Return how many calls are left today, and on a full day; None: no known limit."""
        with self._lock:
            left = self._left.get(cgi_path)
            return left, self._daily.get(cgi_path)

    def note_total(self, total: int | None) -> None:
        """Note the number of followers: the default quotas do not apply to large accounts."""
        if total is not None and total >= LARGE_ACCOUNT and not self._is_large:
            with self._lock:
                self._is_large = True
                self._left |= dict.fromkeys(self._guessed)
                for cgi_path in self._guessed:
                    self._daily.pop(cgi_path, None)

    def _is_known(self, cgi_path: str) -> bool:
        day = quota_day(self._now())
        with self._lock:
            if day > self._day:  # a new day: all quotas are full again
                self._day = day
                self._left.clear()
                self._guessed.clear()
                self._exhausted.clear()
            return cgi_path in self._left

    def _set_left(self, cgi_path: str, state: QuotaState, reported: QuotaInfo | None) -> None:
        self.note_total(state.total)
        limit = DEFAULT_DAILY_QUOTAS.get(cgi_path)
        with self._lock:
            left = None
            if reported is not None:
                self._daily[cgi_path] = reported.daily_limit - reserved_of(
                    reported.daily_limit, self._reserve
                )
                left = reported.remain - reserved_of(reported.daily_limit, self._reserve)
            elif state.exhausted:
                left = 0
                self._exhausted.add(cgi_path)
            elif self._reserve is not None and limit is not None and not self._is_large:
                self._daily[cgi_path] = limit - reserved_of(limit, self._reserve)
                left = self._daily[cgi_path] - state.calls
                self._guessed.add(cgi_path)
            self._left[cgi_path] = left

    def _stop(self, cgi_path: str) -> QuotaExhausted:
        if cgi_path in self._exhausted:
            return QuotaReserved(
                f"WeChat has said today that the quota of {cgi_path} is used up; it was not asked\n"
                "the first run after midnight in Beijing goes on; if you have cleared the quota in "
                "the console: syncjob quota forget",
                errcode=45009,
            )
        if self._reserve:
            return QuotaReserved(
                f"no more calls of {cgi_path} today: what is left of its quota is reserved "
                f"({self._reserve:.0%}) for the account's other programs\n"
                "the first run after midnight in Beijing goes on; see SYNCJOB_QUOTA_RESERVE"
            )
        return QuotaReserved(
            f"no more calls of {cgi_path} today: its quota is used up\n"
            "the first run after midnight in Beijing goes on"
        )
