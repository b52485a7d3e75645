"""Counts calls against daily and minute quotas. Knows no endpoint by name."""

from collections import Counter

_BEIJING = 8 * 3600


def beijing_day(now: float) -> int:
    """Return the number of the Beijing day that the unix time `now` falls in."""
    return int(now + _BEIJING) // 86_400


class Quotas:
    """Calls spent, by endpoint; a Beijing midnight and a full minute set them back.

    The hour of the reset is not established; midnight in Beijing is the likely one.
    """

    def __init__(self) -> None:
        self._day = self._minute = 0
        self._today: Counter[str] = Counter()
        self._this_minute: Counter[str] = Counter()

    def spend(self, endpoint: str, now: float, *, daily: int | None, minute: int | None) -> int:
        """Count one call and return 0, or return 45009 or 45011 and count nothing."""
        self._turn(now)
        if daily is not None and self._today[endpoint] >= daily:
            return 45009
        if minute is not None and self._this_minute[endpoint] >= minute:
            return 45011
        self._today[endpoint] += 1
        self._this_minute[endpoint] += 1
        return 0

    def spent_today(self, endpoint: str, now: float) -> int:
        """Return how many calls of the endpoint count today."""
        self._turn(now)
        return self._today[endpoint]

    def spend_elsewhere(self, endpoint: str, calls: int, now: float) -> None:
        """Count `calls` that another program made today."""
        self._turn(now)
        self._today[endpoint] += calls

    def _turn(self, now: float) -> None:
        if beijing_day(now) != self._day:
            self._day = beijing_day(now)
            self._today.clear()
        if int(now) // 60 != self._minute:
            self._minute = int(now) // 60
            self._this_minute.clear()
