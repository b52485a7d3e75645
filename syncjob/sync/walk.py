"""The way along the list: page by page, each fetched, its people asked about, and stored.

In an account's first sweep nearly everybody is new. There a page is held until the answers about
its people are stored, so that each of them is written once, profile and all, and not first as a
bare row. Whom WeChat has not answered about by then is added by the page; and a page is never
behind the cursor before all of its people are stored.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from syncjob.database.store import Store
from syncjob.model import FollowerPage, PageSaved, Run, Sweep, Traffic
from syncjob.sync.arrivals import Arrivals, Arrived, Fetch
from syncjob.sync.bounds import Bounds
from syncjob.sync.enrich import Enrichment
from syncjob.sync.identity import OwnList
from syncjob.sync.rules import SweepRules
from syncjob.sync.watch import Watch

logger = logging.getLogger(__name__)

# A list that goes on for ever: far more OpenIDs than the account says it has, or absurdly many
# pages where it does not say.
ENDLESS_FACTOR, ENDLESS_SLACK = 2, 20_000
ENDLESS_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class SweepEnd:
    """How a sweep ended: discarded if there is a `fault`, left `open` at a bound, else sealed.

    `whole`: whoever is due has been passed on, since this run has seen every page, and nobody was
    waiting as a candidate when their page came.
    """

    fault: str | None
    whole: bool
    open: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """What it takes to walk along the pages.

    `people` asks about those of a page while the list goes on; None: they are left for later.
    With `holds`, pages are held for the answers.
    """

    store: Store
    fetch: Fetch
    run: Run
    rules: SweepRules
    get_traffic: Callable[[], Traffic]
    own: OwnList
    people: Enrichment | None
    holds: bool
    bounds: Bounds
    watch: Watch

    def follow(self, sweep: Sweep, *, whole: bool, empty: bool) -> SweepEnd:
        """Store page by page, others being fetched meanwhile.

        `whole`: it is the sweep's beginning; `empty`: nobody of the account is stored.
        """
        arrivals = Arrivals(
            self.store,
            self.fetch,
            sweep,
            own=self.own,
            people=self.people if self.holds else None,
            bounds=self.bounds,
            watch=self.watch,
            empty=empty,
        )
        repetition = _Repetition()
        while (arrived := arrivals.take(sweep)) is not None:
            hint = repetition.hint_of(sweep.pages + 1, arrived.page)
            saved = self._save(sweep, arrived)
            sweep = saved.sweep
            if _is_end(arrived.page, arrived.cursor, saved):
                return self._end(sweep, whole, hint)
            fault = _fault(arrived.page, arrived.cursor, saved)
            if fault is not None:
                return self._discard(sweep, fault + hint)
        return SweepEnd(None, False, open=True)

    def _save(self, sweep: Sweep, arrived: Arrived) -> PageSaved:
        page, held = arrived.page, arrived.held
        rest = None
        if self.people is not None and held is not None:
            rest = self.people.await_held(held)
        saved = self.store.sweeps.save_page(self.run.id, sweep, page, self.get_traffic(), rest=rest)
        sweep = saved.sweep
        if page.openids:
            logger.info(
                "Stored a page. sweep=%d page=%d openids=%d new=%d returned=%d seen=%d total=%s",
                sweep.id,
                sweep.pages,
                len(page.openids),
                saved.new,
                saved.returned,
                sweep.openids,
                sweep.total_last,
            )
        else:  # which ends the list, and is no page
            logger.info("Came to the end of the list. sweep=%d pages=%d", sweep.id, sweep.pages)
        self.watch.listed(sweep.openids, sweep.total_last)
        if self.people is not None and held is not None:
            self.people.release(held)
            self.people.put_listed(held.not_asked(saved.due))
        elif self.people is not None:
            self.people.put_listed(saved.due)
        return saved

    def _end(self, sweep: Sweep, whole: bool, hint: str) -> SweepEnd:
        fault = _disagreement(sweep, self.rules)
        if fault is not None:
            return self._discard(sweep, fault + hint)
        sealed = self.store.sweeps.seal(self.run.id, sweep, self.rules.max_unfollow)
        logger.info(
            "Sealed the sweep. sweep=%d pages=%d not_listed=%d parked=%s",
            sweep.id,
            sweep.pages,
            sealed.candidates,
            sealed.parked,
        )
        return SweepEnd(None, whole and not sealed.listed_again)

    def _discard(self, sweep: Sweep, fault: str) -> SweepEnd:
        logger.info("Discarded the sweep. sweep=%d reason=%s", sweep.id, fault)
        self.store.sweeps.discard(self.run.id, sweep.id, fault)
        return SweepEnd(fault, False)


class _Repetition:
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


def _is_end(page: FollowerPage, cursor: str, saved: PageSaved) -> bool:
    """Tell whether the list ends with this page.

    WeChat's documents and answers disagree on how it ends: with a page without OpenIDs, with one
    that names no next one, or with one that repeats the cursor it was asked for.
    """
    if not page.openids or not page.next_openid:
        return True
    return page.next_openid == cursor and saved.fresh == 0


def _fault(page: FollowerPage, cursor: str, saved: PageSaved) -> str | None:
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


def _disagreement(sweep: Sweep, rules: SweepRules) -> str | None:
    """Say how far the sweep's count is from what WeChat said, if that is too far, or None."""
    for page, total in (("first", sweep.total_first), ("last", sweep.total_last)):
        if total is None:
            continue
        if rules.max_drift.exceeded_by(abs(sweep.openids - total), of=total):
            return f"it held {sweep.openids} OpenIDs, its {page} page said that there are {total}"
    return None
