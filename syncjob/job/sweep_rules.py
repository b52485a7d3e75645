"""When a sweep may say who is gone: how its list ends, and what is wrong with a list.

Pure: no HTTP, no SQL.
"""

from dataclasses import dataclass
from datetime import timedelta

from syncjob.model.replies import FollowerPage
from syncjob.model.sweeps import Allowance, PageSaved, Sweep

# A list that goes on for ever: far more OpenIDs than the account says it has, or absurdly many
# pages where it does not say.
ENDLESS_FACTOR, ENDLESS_SLACK = 2, 20_000
ENDLESS_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class SweepRules:
    """When a sweep may speak.

    How far its count may be from WeChat's total, how old it may be and still go on, and how many
    followers it may miss before a person should look.
    """

    max_drift: Allowance
    max_unfollow: Allowance
    max_age: timedelta


DEFAULT_RULES = SweepRules(
    max_drift=Allowance(50, 0.01), max_unfollow=Allowance(100, 0.05), max_age=timedelta(days=1)
)


def is_end(page: FollowerPage, cursor: str, saved: PageSaved) -> bool:
    """Tell whether the list ends with this page.

    WeChat's documents and answers disagree on how it ends: with a page without OpenIDs, with one
    that names no next one, or with one that repeats the cursor it was asked for.
    """
    if not page.openids or not page.next_openid:
        return True
    return page.next_openid == cursor and saved.fresh == 0


def find_fault(page: FollowerPage, cursor: str, saved: PageSaved) -> str | None:
    """Say what shows that the list does not lead on, or None."""
    sweep = saved.sweep
    if page.next_openid == cursor:
        return "the list stood still: a page's next_openid was the cursor it was asked for"
    if saved.fresh == 0:
        return "the list started again: a page brought only OpenIDs that it had listed before"
    if saved.led_back:
        return "the list led back: a page's next_openid was that of an earlier page"
    total = max(sweep.total_first or 0, sweep.total_last or 0)
    endless = total * ENDLESS_FACTOR + ENDLESS_SLACK
    if (total and sweep.openids > endless) or sweep.pages > ENDLESS_PAGES:
        return f"the list does not end: {sweep.openids} OpenIDs where WeChat says {total}"
    return None


def find_disagreement(sweep: Sweep, rules: SweepRules) -> str | None:
    """Say how far the sweep's count is from what WeChat said, if that is too far, or None."""
    for page, total in (("first", sweep.total_first), ("last", sweep.total_last)):
        if total is None:
            continue
        if rules.max_drift.exceeded_by(abs(sweep.openids - total), of=total):
            return f"it held {sweep.openids} OpenIDs, its {page} page said that there are {total}"
    return None


class Repetition:
    """Recognizes an answer that comes again whatever it is asked for: then it is not WeChat's.

    In WeChat's lists no page comes twice; a cache that does not look at the query, or a proxy that
    drops it, sends the first page for every cursor.
    """

    def __init__(self) -> None:
        self._pages: dict[int, FollowerPage] = {}  # the first and the latest of this run, by number

    def hint_of(self, number: int, page: FollowerPage) -> str:
        """Say which page this one repeats, to go behind a fault; "" if it repeats none."""
        same = [n for n, other in self._pages.items() if other.openids == page.openids]
        first = next(iter(self._pages.items()), (number, page))
        self._pages = {first[0]: first[1], number: page}
        if not same or not page.openids:
            return ""
        return f"; page {number} is page {same[0]} again: a cache or a proxy that drops the query?"
