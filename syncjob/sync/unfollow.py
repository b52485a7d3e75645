"""Who is gone: nobody for not being listed alone, only on WeChat's own word about each of them."""

import logging

from syncjob.database.store import Store
from syncjob.model import Run
from syncjob.sync.ask import ask
from syncjob.sync.enrich import CHUNK
from syncjob.wechat.client import WeChatClient

logger = logging.getLogger(__name__)


def prove_unfollows(store: Store, client: WeChatClient, run: Run, *, batch_size: int) -> None:
    """Ask about everybody whom the last sealed sweep did not list, and store what that proves.

    `subscribe: 0`: gone. `subscribe: 1`: the list lags behind. Anything else: not decided, and
    asked again if the next sweep does not list them either.
    """
    after = ""
    while chunk := store.get_candidates(run.account_id, after=after, limit=CHUNK):
        after = chunk[-1].openid
        openids = [candidate.openid for candidate in chunk]
        for start in range(0, len(openids), batch_size):
            answers = ask(client, openids[start : start + batch_size])
            store.save_proofs(run.id, run.account_id, answers, client.traffic)
            logger.info(
                "Asked about followers who were not listed. gone=%d lagging=%d undecided=%d",
                len(answers.gone),
                len(answers.following),
                len(answers.missing) + len(answers.refused),
            )
