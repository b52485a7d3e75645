"""The pages of a sweep as they arrive, ahead of their turn to be stored."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from syncjob.database.store import Store
from syncjob.errors import InvalidOpenID, SyncjobError
from syncjob.model import FollowerPage, Sweep
from syncjob.sync.bounds import Bounds
from syncjob.sync.enrich import Enrichment, HeldPage
from syncjob.sync.identity import OwnList
from syncjob.sync.watch import Watch

# So many of a page's people are looked up, to see whether any of them may be known.
SOME = 20

# Begins to fetch the page behind a cursor; what it returns waits for the page.
Fetch = Callable[[str], Callable[[], FollowerPage]]


class CursorRefused(Exception):
    """WeChat answered 40003 to a cursor of its own; perhaps that follower has left."""

    def __init__(self, sweep: Sweep, error: InvalidOpenID) -> None:
        super().__init__(str(error).split("\n")[0])
        self.sweep = sweep


@dataclass(frozen=True, slots=True)
class Arrived:
    """A page that WeChat has sent; `held`: its people are asked about before it is stored."""

    cursor: str = field(repr=False)
    page: FollowerPage
    held: HeldPage | None = None

    @property
    def leads_on(self) -> bool:
        """Whether there may be a page behind it."""
        return bool(self.page.openids) and self.page.next_openid not in ("", self.cursor)


class Arrivals:
    """The pages behind a sweep's cursor, in their order, as many as `bounds` allow.

    The next page is fetched while one is stored. With `people` pages are held, and those of the
    next one are asked about meanwhile: else the calls that are out would run low at the end of each
    page. `empty`: nobody of the account was stored when the sweep began.
    """

    def __init__(
        self,
        store: Store,
        fetch: Fetch,
        sweep: Sweep,
        *,
        own: OwnList,
        people: Enrichment | None,
        bounds: Bounds,
        watch: Watch,
        empty: bool,
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._sweep = sweep
        self._own = own
        self._people = people
        self._bounds = bounds
        self._watch = watch
        self._empty = empty
        # Of the page behind the last one that has arrived.
        self._cursor, self._number, self._listed = sweep.next_openid, sweep.pages, sweep.openids
        self._get_page: Callable[[], FollowerPage] | None = None
        self._ahead: Arrived | None = None
        if people is not None:
            people.prepare_list()
        self._fetch_next()
        if people is not None:  # while the first page is on its way
            people.prepare_questions()

    def take(self, sweep: Sweep) -> Arrived | None:
        """Return the page behind the sweep's cursor; None if the bounds leave none.

        Raises CursorRefused where WeChat refuses that cursor, ForeignList for a page of another
        account's list, and any other error of WeChat's.
        """
        self._sweep = sweep
        arrived = self._ahead or self._receive()
        self._ahead = None
        is_held = arrived is not None and arrived.held is not None
        if is_held and self._get_page is not None and _has_come(self._get_page):
            self._ahead = self._receive()
        return arrived

    def _fetch_next(self) -> None:
        self._get_page = self._fetch(self._cursor) if self._bounds.take_page() else None

    def _receive(self) -> Arrived | None:
        """Wait for the page that is being fetched; if it is to be held, ask about its people."""
        if self._get_page is None:
            self._fetch_next()
        if self._get_page is None:
            return None
        try:
            page = self._get_page()
        except InvalidOpenID as error:
            if not self._cursor:
                raise
            raise CursorRefused(self._sweep, error) from None
        self._own.require_own(self._cursor, page)
        self._number += 1
        self._listed += len(page.openids)
        arrived = Arrived(self._cursor, page, self._hold(page))
        self._cursor, self._get_page = page.next_openid, None
        # One that brings nobody may be where the list starts again, and not be followed.
        if arrived.leads_on and (arrived.held is None or arrived.held.new):
            self._fetch_next()
        return arrived

    def _hold(self, page: FollowerPage) -> HeldPage | None:
        if self._people is None or not page.openids:
            return None
        known = self._get_known(page.openids)
        total = self._sweep.total_last if page.total is None else page.total
        self._watch.listed(self._listed, total)
        return self._people.put_held(self._number, page.openids, known)

    def _get_known(self, openids: Sequence[str]) -> dict[str, bool]:
        """Return who of a page is stored, and whether they are due.

        In an account that was empty only earlier pages can have brought somebody: all of the page,
        where the list starts again, or hardly anybody, who is found when the answers are stored.
        """
        some = openids[:: len(openids) // SOME + 1]
        if self._empty and not self._store.followers.get_known(self._sweep.account_id, some):
            return {}
        return self._store.followers.get_known(self._sweep.account_id, openids)


def _has_come(get_page: Callable[[], FollowerPage]) -> bool:
    """Wait for a page; if it does not come, that is to be said when its turn has come."""
    with suppress(SyncjobError):
        get_page()
        return True
    return False
