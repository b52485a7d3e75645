"""Counts calls against daily and minute quotas."""

from collections import Counter

_BEIJING = 8 * 3600


def beijing_day(now: float) -> int:
    """Return the number of the day in Beijing at unix time `now`."""
    return int(now + _BEIJING) // 86_400


class Quotas:
    """Calls by endpoint, reset at midnight in Beijing and at each full minute.

    WeChat does not document the hour of the reset; midnight in Beijing is likely.
    """

    def __init__(self) -> None:
        self._day = self._minute = 0
        self._today: Counter[str] = Counter()
        self._this_minute: Counter[str] = Counter()

    def spend(self, endpoint: str, now: float, *, daily: int | None, minute: int | None) -> int:
        """Count one call and return 0, or return 45009 or 45011 without counting it."""
        self._reset_if_due(now)
        if daily is not None and self._today[endpoint] >= daily:
            return 45009
        if minute is not None and self._this_minute[endpoint] >= minute:
            return 45011
        self._today[endpoint] += 1
        self._this_minute[endpoint] += 1
        return 0

    def spent_today(self, endpoint: str, now: float) -> int:
        """Return how many calls of the endpoint were counted today."""
        self._reset_if_due(now)
        return self._today[endpoint]

    def spend_elsewhere(self, endpoint: str, calls: int, now: float) -> None:
        """Count `calls` of another program today."""
        self._reset_if_due(now)
        self._today[endpoint] += calls

    def _reset_if_due(self, now: float) -> None:
        if beijing_day(now) != self._day:
            self._day = beijing_day(now)
            self._today.clear()
        if int(now) // 60 != self._minute:
            self._minute = int(now) // 60
            self._this_minute.clear()
