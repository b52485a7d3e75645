"""The store: every step of the job that must survive a crash, one method and one transaction each.

The only door to the database for the rest of syncjob. The steps of a run end with
`runs.advance`, which fails when the run was declared abandoned and so undoes the whole step.
"""

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from syncjob.database import (
    accounts,
    pages,
    profiles,
    quarantine,
    runs,
    sweeps,
    unfollows,
)
from syncjob.database.access import Access
from syncjob.database.clock import Clock
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.patience import patient, plainly_first, until_let_in
from syncjob.database.schema import require_current
from syncjob.model import (
    Account,
    Allowance,
    Answers,
    AnswersSaved,
    FollowerPage,
    HeldPages,
    PageSaved,
    Sweep,
    SweepSealed,
    Traffic,
    UnionidConflict,
)

NOT_HELD = HeldPages()


def open_store(database_url: str, *, name: str = "syncjob", clock: Clock | None = None) -> "Store":
    """Open the store of a database whose schema is current.

    Raises DatabaseError (SchemaNotCurrent among them) before anything is touched. PostgreSQL's
    sessions are called `name`; `clock` replaces the database's clock, for tests.
    """
    engine = open_engine(database_url, name=name)

    @until_let_in
    def look() -> None:
        with reading(engine) as connection:
            require_current(connection)

    try:
        look()
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, clock)


@patient
class Store(Access):
    """What the job keeps, to read and to write. Thread-safe; close it, or use it in a `with`."""

    @property
    def writers(self) -> int:
        """How many threads write faster than one: while one of them waits, another works.

        SQLite has one writer at a time.
        """
        return 2 if self._engine.dialect.name == "postgresql" else 1

    # --- sweeps ---------------------------------------------------------------------------

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

    # --- what WeChat says of people ---------------------------------------------------------

    def save_answers(
        self,
        run_id: int,
        account_id: int,
        answers: Answers,
        traffic: Traffic,
        *,
        held: HeldPages = NOT_HELD,
        confirmed: bool = False,
    ) -> AnswersSaved:
        """Store what WeChat says of followers who are listed, and the run's counts.

        Those whom `held` pages list are added. Nothing is stored of whose unionid contradicts what
        is stored. Not so with `confirmed`: then the answers are to be believed.
        """
        return plainly_first(
            partial(self._save_answers, run_id, account_id, answers, traffic, held, confirmed)
        )

    def _save_answers(
        self,
        run_id: int,
        account_id: int,
        answers: Answers,
        traffic: Traffic,
        held: HeldPages,
        confirmed: bool,
        *,
        plainly: bool,
    ) -> AnswersSaved:
        with writing(self._engine) as connection:
            others = [*answers.gone, *(refusal.openid for refusal in answers.refused)]
            known = pages.add_held(connection, self._clock, account_id, held, others)
            saved, stored, gone = self._save(
                connection, account_id, answers, held, confirmed=confirmed, plainly=plainly
            )
            for refusal in answers.refused:
                quarantine.put(connection, self._clock, account_id, refusal)
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                enriched=stored + len(answers.gone),
                unfollowed=gone,
                skipped=len(answers.refused) + len(answers.missing),
            )
        return AnswersSaved(saved.conflicts, known + saved.known)

    # --- who is gone ------------------------------------------------------------------------

    def save_proofs(
        self,
        run_id: int,
        account_id: int,
        answers: Answers,
        traffic: Traffic,
        *,
        confirmed: bool = False,
    ) -> list[UnionidConflict]:
        """Decide candidates as WeChat says: gone, still following, or not decided.

        As with `save_answers`, nothing is stored of those whose unionid is in conflict.
        """
        undecided = [*answers.missing, *(refusal.openid for refusal in answers.refused)]
        with writing(self._engine) as connection:
            saved, stored, gone = self._save(
                connection, account_id, answers, NOT_HELD, confirmed=confirmed
            )
            unfollows.leave_undecided(connection, account_id, undecided)
            runs.advance(connection, self._clock, run_id, traffic, unfollowed=gone, lagging=stored)
        return saved.conflicts

    def _save(
        self,
        connection: Connection,
        account_id: int,
        answers: Answers,
        held: HeldPages,
        *,
        confirmed: bool,
        plainly: bool = False,
    ) -> tuple[AnswersSaved, int, int]:
        """Store profiles and unfollows; return what was met, and how many of each."""
        following = answers.following
        saved = profiles.save(
            connection,
            self._clock,
            account_id,
            following,
            held,
            confirmed=confirmed,
            plainly=plainly,
        )
        contested = {conflict.openid for conflict in saved.conflicts}
        stored = (
            sum(info.openid not in contested for info in following) if contested else len(following)
        )
        return saved, stored, self._mark_gone(connection, account_id, answers.gone)

    def decide_parked(self, account_id: int, *, approve: bool) -> int:
        """Let the next run ask about the parked candidates, or leave them; return how many."""
        with writing(self._engine) as connection:
            count = unfollows.count_candidates(connection, account_id)
            unfollows.unpark(connection, account_id, approve=approve)
            return count

    def _mark_gone(self, connection: Connection, account_id: int, gone: Sequence[str]) -> int:
        if not gone:
            return 0
        quarantine.let_out(connection, account_id, gone)
        return unfollows.mark_gone(connection, self._clock, account_id, gone)
