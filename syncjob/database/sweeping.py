"""What is of sweeps: their pages, their ends, and the backfill that a sweep may belong to."""

from collections.abc import Sequence
from functools import partial

from syncjob.database import accounts, followers, pages, runs, sweeps, unfollows
from syncjob.database.access import Access
from syncjob.database.engine import writing
from syncjob.database.patience import patient, plainly_first
from syncjob.model import (
    Account,
    Allowance,
    FollowerPage,
    PageSaved,
    Sweep,
    SweepSealed,
    Traffic,
)


@patient
class Sweeping(Access):
    """The part of the store that is of sweeps; each method is one transaction."""

    def start_backfill(self, run_id: int, account: Account) -> Account:
        """Make every follower due again, and give up the open sweep."""
        with writing(self._engine) as connection:
            accounts.start_backfill(connection, self._clock, account.id)
            sweep = sweeps.get_newest(connection, account.id, "open")
            if sweep is not None:
                sweeps.discard(connection, self._clock, sweep.id, "a backfill was started")
            runs.advance(connection, self._clock, run_id)
            return accounts.get(connection, account.appid)

    def finish_backfill(self, run_id: int, account_id: int) -> None:
        """End the backfill that is under way, if one is: everybody was listed and asked about."""
        with writing(self._engine) as connection:
            followers.leave_due(connection, account_id)
            accounts.finish_backfill(connection, self._clock, account_id)
            runs.advance(connection, self._clock, run_id)

    def start_sweep(self, run_id: int, account_id: int) -> Sweep:
        """Open a new sweep; its cursor stands before the first page."""
        with writing(self._engine) as connection:
            # First of all: a run that lost its row may meet the open sweep of the one that has it.
            runs.advance(connection, self._clock, run_id)
            return sweeps.start(connection, self._clock, account_id)

    def resume_sweep(self, run_id: int, sweep: Sweep) -> None:
        """Go on with an open sweep: the pages behind its cursor have brought nobody yet."""
        with writing(self._engine) as connection:
            pages.forget_unstored(connection, sweep)
            runs.advance(connection, self._clock, run_id)

    def save_page(
        self,
        run_id: int,
        sweep: Sweep,
        page: FollowerPage,
        traffic: Traffic,
        *,
        rest: Sequence[str] | None = None,
    ) -> PageSaved:
        """Store a page, the cursor behind it and the run's counts.

        If the page was held, `rest` are those of its OpenIDs that were not added with an answer.
        """
        rest = page.openids if rest is None else rest
        return plainly_first(partial(self._save_page, run_id, sweep, page, traffic, rest))

    def _save_page(
        self,
        run_id: int,
        sweep: Sweep,
        page: FollowerPage,
        traffic: Traffic,
        rest: Sequence[str],
        *,
        plainly: bool,
    ) -> PageSaved:
        with writing(self._engine) as connection:
            led_back = pages.has_seen(connection, sweep, page.next_openid)
            listed = pages.save(
                connection,
                self._clock,
                sweep,
                rest,
                brought=len(page.openids) - len(rest),
                plainly=plainly,
            )
            # A last page may hold nothing but the cursor itself: that is an end, not a page.
            full_pages = 1 if listed.fresh else 0
            moved = sweeps.advance(
                connection,
                sweep.id,
                next_openid=page.next_openid,
                pages=full_pages,
                openids=listed.fresh,
                total=page.total,
            )
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                pages=full_pages,
                openids=len(page.openids),
                new=listed.new,
                returned=listed.returned,
                skipped=page.skipped,
            )
        return PageSaved(moved, listed.fresh, listed.new, listed.returned, led_back, listed.due)

    def seal_sweep(self, run_id: int, sweep: Sweep, max_unfollow: Allowance) -> SweepSealed:
        """End the sweep whose last page is stored, and note the subscribed whom it did not list.

        They are candidates, to be asked about; more of them than `max_unfollow` are parked.
        """
        with writing(self._engine) as connection:
            sealed = unfollows.add_candidates(connection, self._clock, sweep, max_unfollow)
            sweeps.seal(connection, self._clock, sweep.id)
            runs.advance(connection, self._clock, run_id)
            return sealed

    def discard_sweep(self, run_id: int, sweep_id: int, reason: str) -> None:
        """Give the sweep up and record why; the followers it brought stay."""
        with writing(self._engine) as connection:
            sweeps.discard(connection, self._clock, sweep_id, reason)
            runs.advance(connection, self._clock, run_id)
