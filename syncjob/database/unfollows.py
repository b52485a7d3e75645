"""Unfollows: candidates, and what WeChat says when it is asked about them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select, update

from syncjob.database import answers as stored_answers
from syncjob.database import candidates, quarantine, runs
from syncjob.database.tables import accounts, followers, unfollow_candidates
from syncjob.database.tables import quarantine as quarantine_table
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.model.answers import Answers
from syncjob.model.runs import Traffic
from syncjob.model.sweeps import HeldPages
from syncjob.model.unfollows import Candidate, ProofsSaved, Unanswered


@dataclass
class Unfollows:
    """The followers of each account that may have left."""

    database: Database

    @writes
    def save_proofs(
        self,
        tx: Transaction,
        run_id: int,
        account_id: int,
        answers: Answers,
        traffic: Traffic,
        *,
        refusing: Collection[str] = (),
        confirmed: bool = False,
    ) -> ProofsSaved:
        """Decide candidates as WeChat says: gone, still following, or not decided.

        About the `refusing` WeChat refuses to answer; those that were missing and refused for long
        enough are marked as gone (see `candidates`). As with `save_answers`, nothing is stored of
        those whose unionid is in conflict.
        """
        failed = [refusal.openid for refusal in answers.refused]
        silent = [*answers.missing, *(openid for openid in failed if openid not in refusing)]
        saved = stored_answers.save(tx, account_id, answers, HeldPages(), confirmed=confirmed)
        refused = 0
        if failed or silent:
            refused = _leave_undecided(tx, account_id, answers, silent, refusing)
        runs.advance(
            tx,
            run_id,
            traffic,
            unfollowed=saved.unfollowed + refused,
            lagging=saved.profiles,
            step_counts={
                "candidates_asked": len(answers) - len(saved.conflicts),
                "candidates_undecided": len(failed) + len(answers.missing) - refused,
            },
        )
        return ProofsSaved(saved.conflicts, refused)

    @writes
    def decide_parked(self, tx: Transaction, account_id: int, *, approve: bool) -> int:
        """Let the next run ask about the parked candidates, or leave them; return how many."""
        count = candidates.count_to_ask(tx, account_id)
        tx.connection.execute(
            update(accounts).where(accounts.c.id == account_id).values(parked_at=None)
        )
        if approve:
            candidates.approve(tx, account_id)
        else:
            candidates.reject(tx, account_id)
        return count

    @reads
    def get_candidates(
        self, tx: Transaction, account_id: int, *, after: str, limit: int
    ) -> list[Candidate]:
        """Return the next candidates behind `after`, in byte order, without the undecided."""
        rows = tx.connection.execute(
            select(
                followers.c.openid,
                unfollow_candidates.c.following_at,
                followers.c.first_seen_at,
                followers.c.subscribe_time,
                unfollow_candidates.c.attempts,
            )
            .join(
                followers,
                and_(
                    followers.c.account_id == unfollow_candidates.c.account_id,
                    followers.c.openid == unfollow_candidates.c.openid,
                ),
            )
            .where(candidates.is_to_ask(account_id), unfollow_candidates.c.openid > after)
            .order_by(unfollow_candidates.c.openid)
            .limit(limit)
        )
        return [Candidate(*row) for row in rows]

    @reads
    def count_candidates(self, tx: Transaction, account_id: int) -> int:
        """Return how many candidates wait, parked or to be asked about."""
        return candidates.count_to_ask(tx, account_id)

    @reads
    def get_unanswered(self, tx: Transaction, account_id: int, *, limit: int) -> list[Unanswered]:
        """Return some candidates about which WeChat does not say whether they follow.

        In byte order of their OpenIDs.
        """
        rows = tx.connection.execute(
            select(
                unfollow_candidates.c.openid,
                unfollow_candidates.c.following_at,
                unfollow_candidates.c.missed_since,
                unfollow_candidates.c.attempts,
                unfollow_candidates.c.refusals,
                quarantine_table.c.errcode,
                quarantine_table.c.next_try_at,
            )
            .outerjoin(
                quarantine_table,
                and_(
                    quarantine_table.c.account_id == unfollow_candidates.c.account_id,
                    quarantine_table.c.openid == unfollow_candidates.c.openid,
                ),
            )
            .where(candidates.is_unanswered(account_id))
            .order_by(unfollow_candidates.c.openid)
            .limit(limit)
        )
        return [Unanswered(*row) for row in rows]

    @reads
    def count_unanswered(self, tx: Transaction, account_id: int) -> tuple[int, int]:
        """Return how many of these there are, and about how many of them WeChat refuses."""
        return candidates.count_unanswered(tx, account_id)


def _leave_undecided(
    tx: Transaction,
    account_id: int,
    answers: Answers,
    silent: Sequence[str],
    refusing: Collection[str],
) -> int:
    """Record the candidates without an answer; return how many follow periods that has ended."""
    failed = [refusal.openid for refusal in answers.refused]
    # That they are missing is news: however long they have been in quarantine for something else,
    # the pauses start again.
    new = candidates.find_new(tx, account_id, failed)
    quarantine.restart(tx, account_id, new)
    for refusal in answers.refused:
        quarantine.put(tx, account_id, refusal)
    refused = list(refusing)
    candidates.note_unanswered(tx, account_id, silent=silent, refused=refused)
    ended = candidates.find_ended(tx, account_id, refused)
    return stored_answers.mark_gone(tx, account_id, ended, reason="refused")
