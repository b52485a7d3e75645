"""Who is gone: nobody for not being listed alone, only on WeChat's own word about each of them."""

import logging

from syncjob.database.store import Store
from syncjob.model import Answers, Run, UnionidConflict
from syncjob.sync.ask import Asker, ask_each
from syncjob.sync.bounds import Bounds
from syncjob.sync.enrich import CHUNK
from syncjob.sync.pipeline import open_pipeline
from syncjob.wechat.errcodes import refuses_to_speak

logger = logging.getLogger(__name__)


def prove_unfollows(
    store: Store,
    asker: Asker,
    run: Run,
    *,
    batch_size: int,
    concurrency: int,
    bounds: Bounds,
) -> None:
    """Ask about everybody whom the last sealed sweep did not list, and store what that proves.

    `subscribe: 0`: gone. `subscribe: 1`: the list lags behind. Anything else: not decided, and
    asked again, by user/info alone, if the next sweep does not list them either; after a pause
    if WeChat refuses. Where it refuses for long enough (`database/absence.py`), they are gone.
    """

    def save(answers: Answers, *, confirmed: bool) -> list[UnionidConflict]:
        refusing = {one.openid for one in answers.refused if refuses_to_speak(one.errcode)}
        saved = store.unfollows.save_proofs(
            run.id,
            run.account_id,
            answers,
            asker.client.traffic,
            refusing=refusing,
            confirmed=confirmed,
        )
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
        return saved.conflicts

    after = ""
    chunk = store.unfollows.get_candidates(run.account_id, after=after, limit=CHUNK)
    if not chunk:
        return
    with open_pipeline(
        asker, save, batch_size=batch_size, concurrency=concurrency, storers=store.writers
    ) as pipeline:
        while chunk and not bounds.reached:
            in_vain = {candidate.openid for candidate in chunk if candidate.attempts}
            taken = bounds.take([candidate.openid for candidate in chunk])
            pipeline.put([openid for openid in taken if openid not in in_vain])
            pipeline.put([openid for openid in taken if openid in in_vain], ask_each)
            after = chunk[-1].openid
            chunk = store.unfollows.get_candidates(run.account_id, after=after, limit=CHUNK)
