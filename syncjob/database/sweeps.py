"""Sweeps: reading the follower list page by page, and the cursor that each has reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, func, insert, select, update

from syncjob.database import candidates, pages, runs
from syncjob.database.tables import sweep_openids, sweeps
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.errors import RunLost
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Traffic
from syncjob.model.sweeps import Allowance, PageSaved, Sweep
from syncjob.model.unfollows import SweepSealed

COLUMNS = [
    func.coalesce(sweeps.c.next_openid, "") if name == "next_openid" else sweeps.c[name]
    for name in Sweep.__slots__
]


@dataclass
class Sweeps:
    """The sweeps of each account."""

    database: Database

    @writes
    def start(self, tx: Transaction, run_id: int, account_id: int) -> Sweep:
        """Open a new sweep; its cursor stands before the first page."""
        # First of all: a run that lost its row may meet the open sweep of the one that has it.
        runs.advance(tx, run_id)
        sweep_id = tx.connection.scalar(
            insert(sweeps)
            .values(account_id=account_id, status="open", started_at=tx.clock.now())
            .returning(sweeps.c.id)
        )
        return _one(tx, sweep_id)

    @writes
    def resume(self, tx: Transaction, run_id: int, sweep: Sweep) -> None:
        """Go on with an open sweep: forget followers' pages that are behind its cursor."""
        pages.forget_unstored(tx, sweep)
        runs.advance(tx, run_id)

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

        If the page was held, `rest` are those of its OpenIDs that no answer has added.
        """
        rest = page.openids if rest is None else rest
        return self.database.write_new(
            lambda tx, assume_new: _save_page(
                tx, run_id, sweep, page, traffic, rest, assume_new=assume_new
            )
        )

    @writes
    def seal(
        self, tx: Transaction, run_id: int, sweep: Sweep, max_unfollow: Allowance
    ) -> SweepSealed:
        """End the sweep whose last page is stored, and note the subscribed that it did not list.

        These become candidates, to be asked about; more of them than `max_unfollow` are parked.
        """
        sealed = candidates.add(tx, sweep, max_unfollow)
        _update_open(tx, sweep.id, {"status": "sealed", "finished_at": tx.clock.now()})
        _forget_listed(tx, sweep.id)
        runs.advance(tx, run_id)
        return sealed

    @writes
    def discard(self, tx: Transaction, run_id: int, sweep_id: int, reason: str) -> None:
        """Give the sweep up and record why; the followers that it added stay."""
        mark_discarded(tx, sweep_id, reason)
        runs.advance(tx, run_id)

    @reads
    def get_open(self, tx: Transaction, account_id: int) -> Sweep | None:
        """Return the sweep whose next page is still to be fetched, if there is one."""
        return find_newest(tx, account_id, "open")

    @reads
    def get_sealed(self, tx: Transaction, account_id: int) -> Sweep | None:
        """Return the newest sweep that came to its end, if there is one."""
        return find_newest(tx, account_id, "sealed")

    @reads
    def get_newest(self, tx: Transaction, account_id: int, limit: int) -> list[Sweep]:
        """Return the account's newest sweeps of any status, the newest first."""
        rows = tx.connection.execute(
            select(*COLUMNS)
            .where(sweeps.c.account_id == account_id)
            .order_by(sweeps.c.id.desc())
            .limit(limit)
        )
        return [Sweep(*row) for row in rows]


def find_newest(tx: Transaction, account_id: int, status: str) -> Sweep | None:
    """Return the account's newest sweep of that status, if there is one."""
    row = tx.connection.execute(
        select(*COLUMNS)
        .where(sweeps.c.account_id == account_id, sweeps.c.status == status)
        .order_by(sweeps.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Sweep(*row)


def mark_discarded(tx: Transaction, sweep_id: int, reason: str) -> None:
    """Give an open sweep up; the followers that its pages added stay."""
    ended = {"status": "discarded", "finished_at": tx.clock.now(), "reason": reason}
    _update_open(tx, sweep_id, ended)
    _forget_listed(tx, sweep_id)


def _save_page(
    tx: Transaction,
    run_id: int,
    sweep: Sweep,
    page: FollowerPage,
    traffic: Traffic,
    rest: Sequence[str],
    *,
    assume_new: bool,
) -> PageSaved:
    led_back = pages.has_listed(tx, sweep, page.next_openid)
    listed = pages.save(
        tx, sweep, rest, added_before=len(page.openids) - len(rest), assume_new=assume_new
    )
    # A last page may hold nothing but the cursor itself: that is an end, not a page.
    full_pages = 1 if listed.fresh else 0
    moved = _advance(tx, sweep.id, page, pages=full_pages, openids=listed.fresh)
    runs.advance(
        tx,
        run_id,
        traffic,
        pages=full_pages,
        openids=len(page.openids),
        new=listed.new,
        returned=listed.returned,
        skipped=page.skipped,
    )
    return PageSaved(moved, listed.fresh, listed.new, listed.returned, led_back, listed.due)


def _advance(
    tx: Transaction, sweep_id: int, page: FollowerPage, *, pages: int, openids: int
) -> Sweep:
    """Move the cursor behind a page that this transaction stores."""
    values: dict[str, Any] = {
        "pages": sweeps.c.pages + pages,
        "openids": sweeps.c.openids + openids,
        # The first page's total stays as it is, said or not.
        "total_first": case((sweeps.c.pages == 0, page.total), else_=sweeps.c.total_first),
        "total_last": func.coalesce(page.total, sweeps.c.total_last),
    }
    if page.next_openid:  # an empty cursor would ask for the first page again
        values["next_openid"] = page.next_openid
    _update_open(tx, sweep_id, values)
    return _one(tx, sweep_id)


def _update_open(tx: Transaction, sweep_id: int, values: dict[str, Any]) -> None:
    statement = update(sweeps).where(sweeps.c.id == sweep_id, sweeps.c.status == "open")
    if tx.connection.execute(statement.values(**values)).rowcount != 1:
        raise RunLost(
            f"sweep {sweep_id} was ended by another run; this one has written nothing since"
        )


def _forget_listed(tx: Transaction, sweep_id: int) -> None:
    tx.connection.execute(delete(sweep_openids).where(sweep_openids.c.sweep_id == sweep_id))


def _one(tx: Transaction, sweep_id: int | None) -> Sweep:
    return Sweep(*tx.connection.execute(select(*COLUMNS).where(sweeps.c.id == sweep_id)).one())
