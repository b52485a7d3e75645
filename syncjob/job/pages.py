"""The pages of a sweep: each is fetched, its people are asked about, and it is stored.

In an account's first sweep nearly everybody is new. There a page is held until the answers about
its people are stored, so that each of them is written once, profile and all, and not first as a
bare row. OpenIDs without an answer by then are added by the page itself. The cursor passes a page
only when all of its people are stored.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from syncjob.errors import InvalidOpenID, SyncjobError
from syncjob.job.enrich import Enrichment
from syncjob.job.held import HeldPeople, Page, SavedFor
from syncjob.job.identity import OwnList
from syncjob.job.job import Job
from syncjob.job.loop import AskLoop
from syncjob.job.sweep_rules import Repetition, find_disagreement, find_fault, is_end
from syncjob.model.answers import Answers
from syncjob.model.replies import FollowerPage
from syncjob.model.sweeps import PageSaved, Sweep
from syncjob.model.unfollows import SweepSealed

logger = logging.getLogger(__name__)

# Pages that are fetched, or being fetched, and not stored: a kill repeats up to so many calls of
# the list, which are scarce (500 a day). With one call at a time, one page.
MOST_UNSTORED_PAGES = 2


class CursorRefused(Exception):
    """WeChat answered 40003 to a cursor of its own; perhaps that follower has left."""

    def __init__(self, error: InvalidOpenID) -> None:
        super().__init__(str(error).split("\n")[0])


@dataclass(frozen=True, slots=True)
class SweepEnd:
    """How following a list ended: discarded if there is a `fault`, sealed, or left open at a bound.

    `listed_again`: somebody was waiting as a candidate when their page came.
    """

    fault: str | None = None
    is_sealed: bool = False
    listed_again: bool = False
    cursor_refused: bool = False


class Pages:
    """Follows the list of one sweep; the thread that runs the job owns it. Use it in a `with`.

    With `holds`, pages are held for the answers about their people. `empty`: nobody of the account
    is stored.
    """

    def __init__(self, job: Job, own: OwnList, sweep: Sweep, *, holds: bool, empty: bool) -> None:
        self._job = job
        self._own = own
        self._sweep = sweep
        self._holds = holds
        self._empty = empty
        self._enrichment = Enrichment(job)
        self._loop = AskLoop(job, self)
        self._held = HeldPeople(sweep.id)
        self._repetition = Repetition()
        self._pages: deque[Page] = deque()  # that are not stored, the next to be stored first
        # Of the page after the last one that has come.
        self._cursor, self._number, self._listed = sweep.next_openid, sweep.pages, sweep.openids
        self._leads_on = True  # whether to fetch it before the pages that have come are stored
        self._fetching = self._saving = False
        self._over = False  # the last page is stored; the sweep is being sealed or discarded
        self._most_unstored = min(MOST_UNSTORED_PAGES, job.workers.calls)
        self._list_error: Exception | None = None
        self._end: SweepEnd | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.__exit__(exc_type, exc, traceback)

    def follow(self) -> SweepEnd:
        """Fetch and store page by page from the sweep's cursor on, until the list ends.

        Raises CursorRefused where WeChat refuses a cursor, ForeignList for a page of another
        account's list, and any other error of WeChat's about the list; an error about people is
        raised at the end of the `with`.
        """
        while self._end is None:
            self._hand_out()
            if self._end is None:
                self._loop.turn(self._wake_at)
        return self._end

    # --- what is handed out ------------------------------------------------------------------

    def _hand_out(self) -> None:
        self._loop.hand_out()
        if self._over:
            return
        if self._pages and not self._saving and self._is_complete(self._pages[0]):
            self._save(self._pages[0])
        if self._list_error is not None and not self._pages:
            raise self._list_error
        if self._may_fetch:
            self._fetch()

    @property
    def _may_fetch(self) -> bool:
        if self._fetching or self._list_error is not None or not self._loop.has_room:
            return False
        return len(self._pages) < self._most_unstored if self._leads_on else not self._pages

    def _fetch(self) -> None:
        if not self._job.bounds.take_page():
            if not self._pages:
                self._end = SweepEnd()
            else:
                self._leads_on = False
            return
        self._fetching = True
        self._job.workers.start("list", partial(self._get_page, self._cursor), self._on_page)

    def _get_page(self, cursor: str) -> tuple[FollowerPage, dict[str, bool]]:
        """Return the page behind the cursor, and who of it is stored and due, if it will be held.

        Runs in a worker.
        """
        page = self._job.client.get_followers(cursor)
        self._own.require_own(cursor, page)
        return page, self._get_known(page.openids) if self._holds else {}

    def _get_known(self, openids: Sequence[str]) -> dict[str, bool]:
        """Return who of a page is stored, and whether they are due.

        In an account that was empty only earlier pages can have brought somebody: all of the page,
        where the list starts again, or hardly anybody, who is found when the answers are stored.
        """
        store, account_id = self._job.store, self._job.account.id
        some = openids[:: len(openids) // self._job.plan.lookup_sample + 1]
        if self._empty and not store.followers.get_known(account_id, some):
            return {}
        return store.followers.get_known(account_id, openids)

    def _is_complete(self, page: Page) -> bool:
        """Tell whether a page need not wait for answers any more."""
        if not page.waiting or self._loop.failure is not None:
            return True
        now = time.monotonic()
        if self._loop.handed_out < page.last_batch:
            page.progress_at = now  # some of its people are still to be asked about
        return now >= page.progress_at + self._job.plan.hold_seconds

    @property
    def _wake_at(self) -> float | None:
        if not self._pages or self._saving:
            return None
        page = self._pages[0]
        if self._loop.handed_out < page.last_batch:
            return None
        return page.progress_at + self._job.plan.hold_seconds

    def _save(self, page: Page) -> None:
        self._saving = True
        job, sweep = self._job, self._sweep
        rest = self._held.get_rest(page)

        def save() -> PageSaved:
            return job.store.sweeps.save_page(
                job.run.id, sweep, page.answer, job.client.traffic, rest=rest
            )

        job.workers.start("store", save, partial(self._on_page_saved, page))

    # --- what comes back -----------------------------------------------------------------------

    def _on_page(
        self, result: tuple[FollowerPage, dict[str, bool]], error: BaseException | None
    ) -> None:
        self._fetching = False
        if self._over:
            return  # a page after the end is nobody's
        if isinstance(error, InvalidOpenID) and self._cursor:
            self._list_error = CursorRefused(error)
        elif isinstance(error, SyncjobError):
            self._list_error = error
        elif error is not None:
            raise error
        else:
            answer, known = result
            self._number += 1
            self._listed += len(answer.openids)
            page = Page(self._cursor, self._number, answer)
            if self._holds and answer.openids:
                self._hold(page, known)
            self._pages.append(page)
            self._cursor, self._leads_on = answer.next_openid, page.leads_on

    def _hold(self, page: Page, known: dict[str, bool]) -> None:
        """Ask about people of a page before it is stored."""
        total = self._sweep.total_last if page.answer.total is None else page.answer.total
        self._job.progress.listed(self._listed, total)
        self._put(self._held.hold(page, known))
        page.waiting.update(openid for openid in page.new if self._loop.is_underway(openid))
        page.last_batch = self._loop.put_batches
        page.progress_at = time.monotonic()

    def _put(self, openids: Sequence[str]) -> None:
        taken = self._job.bounds.take(openids)
        self._job.progress.due(len(taken))
        self._loop.put(taken)

    def saving(self, answers: Answers, *, confirmed: bool) -> Callable[[], SavedFor]:
        """Return the transaction that stores answers, and adds those that held pages list."""
        held = self._held.of(answers)
        save = self._enrichment.saving(answers, confirmed=confirmed, held=held)
        return lambda: SavedFor(held, save())

    def saved(self, answers: Answers, saved: SavedFor) -> None:
        """Note who of the held pages' people is stored."""
        self._enrichment.saved(answers, saved.saved)
        self._held.note_saved(self._pages, answers, saved)

    def _on_page_saved(self, page: Page, saved: PageSaved, error: BaseException | None) -> None:
        self._saving = False
        if error is not None:
            raise error
        self._pages.popleft()
        answer = page.answer
        hint = self._repetition.hint_of(self._sweep.pages + 1, answer)
        self._sweep = sweep = saved.sweep
        if answer.openids:
            logger.info(
                "Stored a page. sweep=%d page=%d openids=%d new=%d returned=%d seen=%d total=%s",
                sweep.id,
                sweep.pages,
                len(answer.openids),
                saved.new,
                saved.returned,
                sweep.openids,
                sweep.total_last,
            )
        else:  # which ends the list, and is no page
            logger.info("Came to the end of the list. sweep=%d pages=%d", sweep.id, sweep.pages)
        self._job.progress.listed(sweep.openids, sweep.total_last)
        self._held.release(page)
        self._put([openid for openid in saved.due if openid not in page.asked])
        if is_end(answer, page.cursor, saved):
            self._end_list(hint)
        else:
            fault = find_fault(answer, page.cursor, saved)
            if fault is not None:
                self._discard(fault + hint)

    def _end_list(self, hint: str) -> None:
        fault = find_disagreement(self._sweep, self._job.plan.rules)
        if fault is not None:
            self._discard(fault + hint)
            return
        job, sweep = self._job, self._sweep
        seal = partial(job.store.sweeps.seal, job.run.id, sweep, job.plan.rules.max_unfollow)
        self._over = True
        job.workers.start("store", seal, self._on_sealed)

    def _on_sealed(self, sealed: SweepSealed, error: BaseException | None) -> None:
        if error is not None:
            raise error
        logger.info(
            "Sealed the sweep. sweep=%d pages=%d not_listed=%d parked=%s",
            self._sweep.id,
            self._sweep.pages,
            sealed.candidates,
            sealed.parked,
        )
        self._end = SweepEnd(is_sealed=True, listed_again=bool(sealed.listed_again))

    def _discard(self, fault: str) -> None:
        logger.info("Discarded the sweep. sweep=%d reason=%s", self._sweep.id, fault)
        discard = partial(self._job.store.sweeps.discard, self._job.run.id, self._sweep.id, fault)
        self._over = True
        self._job.workers.start("store", discard, partial(self._on_discarded, fault))

    def _on_discarded(self, fault: str, _result: None, error: BaseException | None) -> None:
        if error is not None:
            raise error
        self._end = SweepEnd(fault=fault)
