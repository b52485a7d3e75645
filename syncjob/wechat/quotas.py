"""How many calls of an endpoint a run may still send today; counts those that it sends.

The quotas are the whole account's, and small: 500 lists a day. What is reserved of them is left for
the account's other programs.
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Protocol

from syncjob.errors import QuotaExhausted, QuotaReserved
from syncjob.model import QuotaState, Spent, ToldQuota, quota_day, reserved_of

# Calls a day of a new account, for when WeChat does not tell
# (doc/service/Message_Management/API_Call_Limits.html). The page says 5 000 000 for user/info, and
# consoles show 500 000; batchget has no row of its own and is taken for the same. What it says of
# stable_token is not known.
BASE = {
    "/cgi-bin/token": 2_000,
    "/cgi-bin/user/get": 500,
    "/cgi-bin/user/info": 500_000,
    "/cgi-bin/user/info/batchget": 500_000,
}
# From so many followers on, limits are higher, how much is not said
# (doc/service/en/guide/dev/api/limit.html).
LARGE = 100_000


class QuotaBook(Protocol):
    """Where is remembered, for all runs of the account, what a day's quotas are."""

    def get(self, cgi_path: str) -> QuotaState:
        """Return what is known of the endpoint's day."""

    def save(self, cgi_path: str, told: ToldQuota) -> None:
        """Keep what WeChat says of it."""


class Quotas:
    """Calls sent, by day and endpoint, and how many are left. Thread-safe.

    Without a `book` it counts and stops nothing. `reserve` (0 to 1) is the share of a day's calls
    that is left alone; None asks WeChat for no limits and keeps to none but a 45009 of the day.
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
        self._left: dict[str, int | None] = {}  # None: nothing is known that ends
        self._daily: dict[str, int] = {}  # of a whole day, less the reserve
        self._guessed: set[str] = set()  # paths whose limit is only a new account's
        self._exhausted: set[str] = set()
        self._is_large = False

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What was sent so far, always in the same order."""
        with self._lock:
            return tuple(Spent(*key, calls) for key, calls in sorted(self._calls.items()))

    def learn(self, cgi_path: str, ask: Callable[[], ToldQuota | None]) -> None:
        """Find out, once a day, how many calls of an endpoint are left; `ask` asks WeChat.

        Where WeChat does not tell (None), what is documented for a new account holds.
        """
        if self._book is None or self._is_known(cgi_path):
            return
        with self._learning:
            if self._is_known(cgi_path):
                return
            state = self._book.get(cgi_path)
            told = ask() if self._reserve is not None or state.exhausted else None
            if told is not None:
                self._book.save(cgi_path, told)
            self._set_left(cgi_path, state, told)

    def spend(self, cgi_path: str) -> None:
        """Count a call that is about to be sent; raise QuotaExhausted where none is left."""
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
        """Return how many calls may still be sent today, and on other days; None: as many."""
        with self._lock:
            left = self._left.get(cgi_path)
            return left, self._daily.get(cgi_path)

    def note_total(self, total: int | None) -> None:
        """Note how many followers there are: large accounts may ask for more than new ones."""
        if total is not None and total >= LARGE and not self._is_large:
            with self._lock:
                self._is_large = True
                self._left |= dict.fromkeys(self._guessed)
                for cgi_path in self._guessed:
                    self._daily.pop(cgi_path, None)

    def _is_known(self, cgi_path: str) -> bool:
        day = quota_day(self._now())
        with self._lock:
            if day > self._day:  # midnight has come: all quotas are whole again
                self._day = day
                self._left.clear()
                self._guessed.clear()
                self._exhausted.clear()
            return cgi_path in self._left

    def _set_left(self, cgi_path: str, state: QuotaState, told: ToldQuota | None) -> None:
        self.note_total(state.total)
        limit = BASE.get(cgi_path)
        with self._lock:
            left = None
            if told is not None:
                self._daily[cgi_path] = told.daily_limit - reserved_of(
                    told.daily_limit, self._reserve
                )
                left = told.remain - reserved_of(told.daily_limit, self._reserve)
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
