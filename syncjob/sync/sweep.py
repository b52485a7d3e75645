"""The sweep: one pass over WeChat's follower list, resumable page by page.

WeChat's list is in no order of following, new followers appear anywhere in it. So the cursor is
only for resuming an interrupted sweep; a finished one is followed by another from the start.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncjob.database.store import Store
from syncjob.errors import InvalidOpenID
from syncjob.model import Account, Allowance, FollowerPage, PageSaved, Run, Sweep, Traffic
from syncjob.sync.bounds import Bounds
from syncjob.sync.watch import Watch

logger = logging.getLogger(__name__)

# "auto" spends half of what a new account may list a day, so that the company's other programs
# have the other half (doc/service/Message_Management/API_Call_Limits.html).
LIST_CALLS_A_DAY = 500
AUTO_SHARE = 0.5
# A timer that fires once a day never fires exactly a day after the last time; without some slack
# "1d" would mean every second day.
EARLY = 0.95
# From then on the quota is kept: a list of a hundred pages, read anew every few minutes, would use
# up the day's calls of every program.
DISCARDED_IN_A_ROW = 3
# A list that goes on for ever: far more OpenIDs than the account says it has, or absurdly many
# pages where it does not say.
ENDLESS_FACTOR, ENDLESS_SLACK = 2, 20_000
ENDLESS_PAGES = 100_000


def is_due(
    sealed: Sweep | None, newest: Sequence[Sweep], every: timedelta | None, now: datetime
) -> bool:
    """Tell whether a new sweep should start.

    `sealed` is the newest one that came to its end, `newest` are the last DISCARDED_IN_A_ROW of any
    kind. `every` counts from start to start; None means as often as AUTO_SHARE of the day's list
    calls allows: a sweep takes one call a page and one for the end. After a discarded sweep the
    next one starts at once; after some in a row the list is likely to stay as it is.
    """
    if newest and newest[0].status == "discarded":
        in_a_row = sum(sweep.status == "discarded" for sweep in newest)
        return in_a_row < DISCARDED_IN_A_ROW or not _is_recent(newest[0], every, now)
    return sealed is None or not _is_recent(sealed, every, now)


def wants_sweep(store: Store, account: Account, every: timedelta | None) -> bool:
    """Tell whether a run should list: a sweep is open, or it is time for another one."""
    if store.get_open_sweep(account.id) is not None:
        return True
    sealed = store.get_sealed_sweep(account.id)
    newest = store.get_newest_sweeps(account.id, DISCARDED_IN_A_ROW)
    started = account.backfill_started_at if account.backfilling else None
    if started is not None and (sealed is None or sealed.started_at < started):
        sealed = None  # the backfill is owed a sweep of its own
    return is_due(sealed, newest, every, store.get_now())


def is_too_old(sweep: Sweep, max_age: timedelta, now: datetime) -> bool:
    """Tell whether an open sweep is to be started over instead of gone on with."""
    return not _is_recent(sweep, max_age / EARLY, now)


def _is_recent(sweep: Sweep, every: timedelta | None, now: datetime) -> bool:
    if every is None:
        sweeps_a_day = LIST_CALLS_A_DAY * AUTO_SHARE / (sweep.pages + 1)
        every = timedelta(days=1) / sweeps_a_day
    # A sweep from the future means that the clock was set back.
    return timedelta(0) <= now - sweep.started_at < every * EARLY


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


@dataclass(frozen=True, slots=True)
class SweepEnd:
    """How a sweep ended: discarded if there is a `fault`, left `open` at a bound, else sealed.

    `whole`: whoever is due has been passed on, since this run has seen every page, and nobody was
    waiting as a candidate when their page came.
    """

    fault: str | None
    whole: bool
    open: bool = False


# Begins to fetch the page behind a cursor; what it returns waits for the page.
Fetch = Callable[[str], Callable[[], FollowerPage]]


def sweep_list(
    store: Store,
    fetch: Fetch,
    run: Run,
    rules: SweepRules,
    *,
    get_traffic: Callable[[], Traffic],
    on_due: Callable[[Sequence[str]], None],
    before_restart: Callable[[], None],
    bounds: Bounds,
    watch: Watch,
) -> SweepEnd:
    """Go on with the open sweep, or start one, and follow its pages to the end.

    `on_due` gets whoever of a stored page is to be asked about. A cursor that WeChat refuses starts
    the list over, once, after `before_restart`: no answer from before a sweep may be stored after
    it, or it would speak for somebody whom the sweep did not list. What the pages of a discarded
    sweep brought stays stored. Where `bounds` end it, the sweep stays open for the next run.
    """
    sweep = store.get_open_sweep(run.account_id)
    if sweep is not None and is_too_old(sweep, rules.max_age, store.get_now()):
        logger.info("The open sweep is too old to go on with. sweep=%d", sweep.id)
        store.discard_sweep(run.id, sweep.id, "it was too old to go on with")
        sweep = None
    if sweep is None:
        sweep = store.start_sweep(run.id, run.account_id)
        logger.info("Started a sweep. sweep=%d", sweep.id)
    else:
        logger.info("Went on with the open sweep. sweep=%d pages=%d", sweep.id, sweep.pages)
    walk = _Walk(store, fetch, run, rules, get_traffic, on_due, bounds, watch)
    whole = sweep.pages == 0
    try:
        return walk.follow(sweep, whole)
    except _CursorRefused as refused:
        logger.info("WeChat refused the cursor, the list starts over. sweep=%d", refused.sweep.id)
        store.discard_sweep(run.id, refused.sweep.id, f"WeChat refused its cursor: {refused}")
        before_restart()
        sweep = store.start_sweep(run.id, run.account_id)
        try:
            return walk.follow(sweep, True)
        except _CursorRefused as again:
            reason = f"WeChat refused its cursor twice: {again}"
            store.discard_sweep(run.id, again.sweep.id, reason)
            return SweepEnd(reason, False)


class _CursorRefused(Exception):
    """WeChat answered 40003 to a cursor of its own; perhaps that follower has left."""

    def __init__(self, sweep: Sweep, error: InvalidOpenID) -> None:
        super().__init__(str(error).split("\n")[0])
        self.sweep = sweep


@dataclass(frozen=True, slots=True)
class _Walk:
    """What it takes to walk along the pages."""

    store: Store
    fetch: Fetch
    run: Run
    rules: SweepRules
    get_traffic: Callable[[], Traffic]
    on_due: Callable[[Sequence[str]], None]
    bounds: Bounds
    watch: Watch

    def follow(self, sweep: Sweep, whole: bool) -> SweepEnd:
        """Store page by page, the next one being fetched meanwhile."""
        if not self.bounds.take_page():
            return SweepEnd(None, False, open=True)
        get_page = self.fetch(sweep.next_openid)
        while True:
            cursor = sweep.next_openid
            try:
                page = get_page()
            except InvalidOpenID as error:
                if not cursor:
                    raise
                raise _CursorRefused(sweep, error) from None
            goes_on = True
            if page.openids and page.next_openid not in ("", cursor):
                goes_on = self.bounds.take_page()
                if goes_on:
                    get_page = self.fetch(page.next_openid)
            saved = self.store.save_page(self.run.id, sweep, page, self.get_traffic())
            sweep = saved.sweep
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
            self.watch.listed(sweep)
            self.on_due(saved.due)
            if _is_end(page, cursor, saved):
                return self._end(sweep, whole)
            fault = _fault(page, cursor, saved)
            if fault is not None:
                return self._discard(sweep, fault)
            if not goes_on:
                return SweepEnd(None, False, open=True)

    def _end(self, sweep: Sweep, whole: bool) -> SweepEnd:
        fault = _disagreement(sweep, self.rules)
        if fault is not None:
            return self._discard(sweep, fault)
        sealed = self.store.seal_sweep(self.run.id, sweep, self.rules.max_unfollow)
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
        self.store.discard_sweep(self.run.id, sweep.id, fault)
        return SweepEnd(fault, False)


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
