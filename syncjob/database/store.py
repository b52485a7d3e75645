"""The store: every step of the job that must survive a crash, one method and one transaction each.

The only door to the database for the rest of syncjob. The steps of a run end with
`runs.advance`, which fails when the run was declared abandoned and so undoes the whole step.
"""

from collections.abc import Collection, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, false

from syncjob.database import (
    absence,
    accounts,
    followers,
    pages,
    profiles,
    quarantine,
    runs,
    sweeps,
    unfollows,
)
from syncjob.database.clock import Clock
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.patience import patient, plainly_first, until_let_in
from syncjob.database.schema import require_current, require_only
from syncjob.database.sweeping import Sweeping
from syncjob.model import (
    Answers,
    AnswersSaved,
    HeldPages,
    ProofsSaved,
    Traffic,
    UnionidConflict,
    UnsubscribeReason,
)

NOT_HELD = HeldPages()


def open_store(
    database_url: str,
    *,
    name: str = "syncjob",
    only_account: str | None = None,
    clock: Clock | None = None,
) -> "Store":
    """Open the store of a database whose schema is current.

    Raises DatabaseError (SchemaNotCurrent among them) before anything is touched. PostgreSQL's
    sessions are called `name`; `clock` replaces the database's clock, for tests. A database that
    holds another account than `only_account` is refused with RehearsalRefused; None: none is.
    """
    engine = open_engine(database_url, name=name)

    @until_let_in
    def look() -> None:
        with reading(engine) as connection:
            require_only(connection, only_account)
            require_current(connection)

    try:
        look()
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, clock)


@patient
class Store(Sweeping):
    """What the job keeps, to read and to write. Thread-safe; close it, or use it in a `with`."""

    @property
    def writers(self) -> int:
        """How many threads write faster than one: while one of them waits, another works.

        SQLite has one writer at a time.
        """
        return 2 if self._engine.dialect.name == "postgresql" else 1

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
        plainly = plainly and all(info.openid in held.pages for info in answers.following)
        with writing(self._engine) as connection:
            known: dict[str, bool] = {}
            if held.pages and not plainly:
                listed = [openid for openid in answers.openids if held.pages.get(openid)]
                known = pages.get_known(connection, self._clock, account_id, listed)
            others = [*answers.gone, *(refusal.openid for refusal in answers.refused)]
            pages.add_held(connection, self._clock, account_id, held, others, plainly=plainly)
            conflicts, stored, gone = self._save(
                connection,
                account_id,
                answers,
                held,
                contradicts_list=sweeps.is_fresh(account_id, run_id),
                confirmed=confirmed,
                plainly=plainly,
            )
            for refusal in answers.refused:
                quarantine.put(connection, self._clock, account_id, refusal)
            # Whom an earlier page had brought, and who was asked about then, is counted already.
            contested = {conflict.openid for conflict in conflicts}
            counted = {openid for openid, is_due in known.items() if not is_due} - contested
            told = [*answers.gone, *(info.openid for info in answers.following)] if counted else ()
            again = len(counted.intersection(told))
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                enriched=stored + len(answers.gone) - again,
                unfollowed=gone,
                skipped=len(answers.refused) + len(answers.missing),
            )
        return AnswersSaved(conflicts, list(known))

    def check_unionids(self, run_id: int, account_id: int) -> bool:
        """Note whether profiles lack the unionid that WeChat sends now; return whether it is news.

        Looks at some rows only.
        """
        with writing(self._engine) as connection:
            missing = followers.lack_unionids(connection, account_id)
            runs.advance(connection, self._clock, run_id)
            return accounts.note_missing_unionids(
                connection, self._clock, account_id, missing=missing
            )

    # --- who is gone ------------------------------------------------------------------------

    def save_proofs(
        self,
        run_id: int,
        account_id: int,
        answers: Answers,
        traffic: Traffic,
        *,
        refusing: Collection[str] = (),
        confirmed: bool = False,
    ) -> ProofsSaved:
        """Decide candidates as WeChat says: gone, still following, or not decided.

        `refusing` are those whom WeChat refuses to speak of; who was missing and refused for long
        enough is marked as gone (see `absence`). As with `save_answers`, nothing is stored of those
        whose unionid is in conflict.
        """
        failed = [refusal.openid for refusal in answers.refused]
        silent = [*answers.missing, *(openid for openid in failed if openid not in refusing)]
        with writing(self._engine) as connection:
            conflicts, stored, gone = self._save(
                connection, account_id, answers, NOT_HELD, confirmed=confirmed
            )
            refused = 0
            if failed or silent:
                refused = self._leave_undecided(connection, account_id, answers, silent, refusing)
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                unfollowed=gone + refused,
                lagging=stored,
            )
        return ProofsSaved(conflicts, refused)

    def _leave_undecided(
        self,
        connection: Connection,
        account_id: int,
        answers: Answers,
        silent: Sequence[str],
        refusing: Collection[str],
    ) -> int:
        """Note who was asked about in vain; return how many follow periods that has ended."""
        failed = [refusal.openid for refusal in answers.refused]
        # That they are missing is news: however long they have been in quarantine for something
        # else, the pauses begin again.
        new = absence.get_new(connection, account_id, failed)
        quarantine.restart(connection, account_id, new)
        for refusal in answers.refused:
            quarantine.put(connection, self._clock, account_id, refusal)
        refused = list(refusing)
        absence.note_unanswered(connection, account_id, silent=silent, refused=refused)
        ended = absence.get_ended(connection, account_id, refused)
        return self._mark_gone(connection, account_id, ended, reason="refused")

    def _save(
        self,
        connection: Connection,
        account_id: int,
        answers: Answers,
        held: HeldPages,
        *,
        confirmed: bool,
        plainly: bool = False,
        contradicts_list: ColumnElement[bool] | None = None,
    ) -> tuple[list[UnionidConflict], int, int]:
        """Store profiles and unfollows; return conflicts, how many profiles, how many unfollows."""
        following = answers.following
        conflicts = profiles.save(
            connection,
            self._clock,
            account_id,
            following,
            held,
            confirmed=confirmed,
            plainly=plainly,
        )
        contested = {conflict.openid for conflict in conflicts}
        stored = (
            sum(info.openid not in contested for info in following) if contested else len(following)
        )
        gone = self._mark_gone(
            connection, account_id, answers.gone, contradicts_list=contradicts_list
        )
        return conflicts, stored, gone

    def decide_parked(self, account_id: int, *, approve: bool) -> int:
        """Let the next run ask about the parked candidates, or leave them; return how many."""
        with writing(self._engine) as connection:
            count = unfollows.count_candidates(connection, account_id)
            unfollows.unpark(connection, account_id, approve=approve)
            return count

    def _mark_gone(
        self,
        connection: Connection,
        account_id: int,
        gone: Sequence[str],
        *,
        reason: UnsubscribeReason = "answered",
        contradicts_list: ColumnElement[bool] | None = None,
    ) -> int:
        if not gone:
            return 0
        quarantine.let_out(connection, account_id, gone)
        return unfollows.mark_gone(
            connection,
            self._clock,
            account_id,
            gone,
            reason=reason,
            contradicts_list=false() if contradicts_list is None else contradicts_list,
        )
