"""The people of held pages: pages that are stored once WeChat has answered about their people."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from syncjob.job.enrich import NOT_HELD
from syncjob.model.answers import Answers, AnswersSaved, UnionidConflict
from syncjob.model.replies import FollowerPage
from syncjob.model.sweeps import HeldPages


@dataclass(slots=True)
class Page:
    """A page that is not stored yet.

    Of a held page, `new` are its OpenIDs that the database did not have when it was fetched,
    `waiting` those of them whose answer is not stored yet, `asked` everybody who was asked about
    because of it.
    """

    cursor: str = field(repr=False)
    number: int
    answer: FollowerPage
    is_held: bool = False
    new: list[str] = field(default_factory=list, repr=False)
    waiting: set[str] = field(default_factory=set, repr=False)
    asked: set[str] = field(default_factory=set, repr=False)
    last_batch: int = 0  # number of the last batch that asks about its people
    progress_at: float = 0.0  # when people of it were last put in, or stored

    @property
    def leads_on(self) -> bool:
        """Whether there may be a page after it; with nobody new, it may be page one again."""
        answer = self.answer
        if not answer.openids or answer.next_openid in ("", self.cursor):
            return False
        return bool(self.new) or not self.is_held


@dataclass(frozen=True, slots=True)
class SavedFor:
    """Answers that were stored, and the pages for which their people were added."""

    held: HeldPages
    saved: AnswersSaved

    @property
    def conflicts(self) -> list[UnionidConflict]:
        """The answers of which nothing was stored."""
        return self.saved.conflicts


class HeldPeople:
    """Which held page lists somebody first, and whether an answer has added them already."""

    def __init__(self, sweep_id: int) -> None:
        self._sweep_id = sweep_id
        # The number of the page for which an OpenID is new; 0 once an answer has added its row.
        self._page_of: dict[str, int] = {}

    def hold(self, page: Page, known: dict[str, bool]) -> list[str]:
        """Hold a page; return who of it is to be asked about: the new ones, and those who are due.

        `known` tells who of it is stored, and whether they are due; everybody else is new, unless a
        held page before it lists them.
        """
        page.is_held = True
        due = []
        for openid in page.answer.openids:
            if openid not in known and openid not in self._page_of:
                page.new.append(openid)
                self._page_of[openid] = page.number
            elif known.get(openid):
                due.append(openid)
        page.asked.update(page.new, due)
        return [*page.new, *due]

    def of(self, answers: Answers) -> HeldPages:
        """Return which page each of these people is noted for, when an answer adds them."""
        if not self._page_of:
            return NOT_HELD
        pages = {o: number for o in answers.openids if (number := self._page_of.get(o))}
        return HeldPages(self._sweep_id, pages)

    def note_saved(self, pages: Iterable[Page], answers: Answers, stored: SavedFor) -> None:
        """Note whose answers are stored, for the pages that are not."""
        contested = {conflict.openid for conflict in stored.conflicts}
        known = set(stored.saved.known)  # they were stored already: an earlier page has listed them
        for openid in known:
            self._page_of.pop(openid, None)
        not_added = {*answers.missing, *contested}
        for openid, number in stored.held.pages.items():
            # Not one that another page lists by now, and that was not added for it.
            if openid not in not_added and self._page_of.get(openid) == number:
                self._page_of[openid] = 0
        for page in pages:
            if known:
                page.new = [openid for openid in page.new if openid not in known]
                page.asked -= known
            before = len(page.waiting)
            page.waiting.difference_update(o for o in answers.openids if o not in contested)
            if len(page.waiting) < before:
                page.progress_at = time.monotonic()

    def get_rest(self, page: Page) -> Sequence[str] | None:
        """Return the OpenIDs that the page itself must store; None: all."""
        if not page.is_held:
            return None
        return [
            openid
            for openid in page.answer.openids
            if self._page_of.get(openid) != 0 or openid not in page.asked
        ]

    def release(self, page: Page) -> None:
        """Forget a page that is stored."""
        for openid in page.new:
            self._page_of.pop(openid, None)
