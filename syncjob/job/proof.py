"""Who is gone: nobody for not being listed alone, only on WeChat's own word about each of them."""

import logging
from collections.abc import Callable, Iterator, Sequence

from syncjob.job.ask import ask, ask_each
from syncjob.job.job import Job
from syncjob.job.loop import CHUNK, AskLoop, Question
from syncjob.model.answers import Answers
from syncjob.model.unfollows import ProofsSaved
from syncjob.wechat.errcodes import refuses_to_speak

logger = logging.getLogger(__name__)


def prove_unfollows(job: Job) -> None:
    """Step: ask about followers that the last sealed sweep did not list; store the outcome.

    `subscribe: 0`: gone. `subscribe: 1`: the list lags behind. Anything else: not decided, and
    asked again, by user/info alone, if the next sweep does not list them either; after a pause
    if WeChat refuses. Where it refuses for long enough (`database/unfollows.py`), they are gone.
    Nobody is asked about while the candidates are parked.
    """
    if job.account.parked_at is None:
        with AskLoop(job, _Proofs(job)) as loop:
            loop.run(_candidates(job))


class _Proofs:
    """Stores what the answers about candidates prove."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def saving(self, answers: Answers, *, confirmed: bool) -> Callable[[], ProofsSaved]:
        """Return the transaction that stores them."""
        job = self._job
        refusing = {one.openid for one in answers.refused if refuses_to_speak(one.errcode)}

        def save() -> ProofsSaved:
            return job.store.unfollows.save_proofs(
                job.run.id,
                job.run.account_id,
                answers,
                job.client.traffic,
                refusing=refusing,
                confirmed=confirmed,
            )

        return save

    def saved(self, answers: Answers, saved: ProofsSaved) -> None:
        """Log what was proved."""
        logger.info(
            "Asked about followers who were not listed. gone=%d lagging=%d undecided=%d",
            len(answers.gone),
            len(answers.following),
            len(answers.missing) + len(answers.refused) - saved.refused,
        )
        if saved.refused:
            logger.warning(
                "Ended follow periods of people missing from the list of whom WeChat refuses to "
                "speak. openids=%d",
                saved.refused,
            )


def _candidates(job: Job) -> Iterator[tuple[Sequence[str], Question]]:
    after = ""
    while not job.bounds.reached:
        chunk = job.in_store(
            job.store.unfollows.get_candidates, job.account.id, after=after, limit=CHUNK
        )
        if not chunk:
            return
        after = chunk[-1].openid
        in_vain = {candidate.openid for candidate in chunk if candidate.attempts}
        taken = job.bounds.take([candidate.openid for candidate in chunk])
        yield [openid for openid in taken if openid not in in_vain], ask
        yield [openid for openid in taken if openid in in_vain], ask_each
