"""Enrichment: fill the followers' rows with what WeChat says of them."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from syncjob.job.ask import ask
from syncjob.job.job import Job, Tally
from syncjob.job.loop import CHUNK, AskLoop, Question
from syncjob.model.answers import Answers, AnswersSaved
from syncjob.model.sweeps import HeldPages

logger = logging.getLogger(__name__)

NOT_HELD = HeldPages()


class Enrichment:
    """Stores answers about followers, and notes what they amount to.

    Somebody who is missing from the answers stays unenriched, and the next run asks again; one that
    WeChat refuses is put into quarantine. `counted_as` is what the step counts its profiles as.
    """

    def __init__(self, job: Job, *, counted_as: str | None = None) -> None:
        self._job = job
        self._counted_as = counted_as

    def saving(
        self, answers: Answers, *, confirmed: bool, held: HeldPages = NOT_HELD
    ) -> Callable[[], AnswersSaved]:
        """Return the transaction that stores them; `held` names those that it adds."""
        job = self._job

        def save() -> AnswersSaved:
            return job.store.followers.save_answers(
                job.run.id,
                job.run.account_id,
                answers,
                job.client.traffic,
                held=held,
                confirmed=confirmed,
                counted_as=self._counted_as,
            )

        return save

    def saved(self, answers: Answers, saved: AnswersSaved) -> None:
        """Count what was stored."""
        job, tally = self._job, self._job.tally
        job.progress.stored(len(answers) - len(saved.conflicts))
        if len(job.missing) <= CHUNK:
            job.missing.update(answers.missing)
        job.saw_unionids = job.saw_unionids or any(info.unionid for info in answers.following)
        tally.contested += len(saved.conflicts)
        tally.refused.update(refusal.errcode for refusal in answers.refused)
        tally.answered += len(answers)
        now = time.monotonic()
        if now - tally.logged_at >= tally.log_every:
            tally.logged_at = now
            calls = job.client.traffic.calls
            logger.info("Enriched followers. openids=%d calls=%d", tally.answered, calls)


def enrich(job: Job) -> None:
    """Step: ask about every unenriched follower, except those this run got no answer about.

    Nothing is left to do where the sweep of this run has asked about everybody who is due.
    """
    if job.all_due_asked:
        return
    if len(job.missing) > CHUNK:
        logger.info("WeChat leaves out too many; the next run asks again.")
        return
    if job.progress.counts:
        job.progress.expect(job.in_store(job.store.followers.count_unenriched, job.account.id))
    with AskLoop(job, Enrichment(job)) as loop:
        loop.run(_unenriched(job))


def _unenriched(job: Job) -> Iterator[tuple[Sequence[str], Question]]:
    after = ""
    get = job.store.followers.get_unenriched
    while chunk := job.in_store(get, job.account.id, after=after, limit=CHUNK):
        after = chunk[-1]
        yield job.bounds.take([openid for openid in chunk if openid not in job.missing]), ask
        if job.bounds.reached:
            return


def refresh(job: Job) -> None:
    """Step: ask again about those whose profile is too old, the oldest first."""
    if job.plan.refresh_after is not None:
        with AskLoop(job, Enrichment(job, counted_as="refreshed")) as loop:
            loop.run(_stale(job, job.plan.refresh_after))


def _stale(job: Job, refresh_after: timedelta) -> Iterator[tuple[Sequence[str], Question]]:
    last, left = None, job.plan.refresh_limit
    while left > 0:
        stale = job.in_store(
            job.store.followers.get_stale,
            job.account.id,
            refresh_after=refresh_after,
            behind=last,
            limit=min(CHUNK, left),
        )
        if not stale:
            return
        taken = job.bounds.take([openid for openid, _ in stale])
        job.progress.due(len(taken))
        yield taken, ask
        if job.bounds.reached:
            return
        last = stale[-1]
        left -= len(stale)
        logger.info("Refreshing profiles. openids=%d", len(stale))


def log_tally(tally: Tally) -> None:
    """Log what went wrong with some people, once for all of them: cron mails each line."""
    if tally.contested:
        logger.warning(
            "Unionids were not what they had been, or not alone. openids=%d", tally.contested
        )
    if tally.refused:
        logger.warning(
            "Put OpenIDs into quarantine. openids=%d errcodes=%s",
            tally.refused.total(),
            ",".join(sorted(str(errcode or "none") for errcode in tally.refused)),
        )
