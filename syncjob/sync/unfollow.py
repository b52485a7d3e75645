"""Who is gone: nobody for not being listed alone, only on WeChat's own word about each of them."""

import logging

from syncjob.database.store import Store
from syncjob.model import Answers, Run, UnionidConflict
from syncjob.sync.ask import Asker
from syncjob.sync.bounds import Bounds
from syncjob.sync.enrich import CHUNK
from syncjob.sync.pipeline import open_pipeline

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
    asked again if the next sweep does not list them either.
    """

    def save(answers: Answers, *, confirmed: bool) -> list[UnionidConflict]:
        conflicts = store.save_proofs(
            run.id, run.account_id, answers, asker.client.traffic, confirmed=confirmed
        )
        logger.info(
            "Asked about followers who were not listed. gone=%d lagging=%d undecided=%d",
            len(answers.gone),
            len(answers.following),
            len(answers.missing) + len(answers.refused),
        )
        return conflicts

    after = ""
    chunk = store.get_candidates(run.account_id, after=after, limit=CHUNK)
    if not chunk:
        return
    with open_pipeline(
        asker, save, batch_size=batch_size, concurrency=concurrency, storers=store.writers
    ) as pipeline:
        while chunk and not bounds.reached:
            pipeline.put(bounds.take([candidate.openid for candidate in chunk]))
            after = chunk[-1].openid
            chunk = store.get_candidates(run.account_id, after=after, limit=CHUNK)
