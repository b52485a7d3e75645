"""Enrichment: fill the followers' rows from batchget, a batch of up to 100 at a time."""

import logging
from collections.abc import Sequence

from syncjob.database.store import Store
from syncjob.errors import BatchSizeRefused, InvalidOpenID
from syncjob.model import Run, UserInfo, shown
from syncjob.wechat.client import WeChatClient

logger = logging.getLogger(__name__)

# How many OpenIDs are read from the database at once: memory stays flat, whatever the account.
CHUNK = 10_000


def enrich(store: Store, client: WeChatClient, run: Run, *, batch_size: int) -> None:
    """Ask WeChat about every unenriched follower once, and store what it says batch by batch.

    One that is missing from its answer stays unenriched, to be asked again by the next run; one
    that WeChat refuses is put into quarantine, and the rest of its batch goes through.
    """
    after = ""
    while chunk := store.get_unenriched(run.account_id, after=after, limit=CHUNK):
        after = chunk[-1]
        for start in range(0, len(chunk), batch_size):
            _enrich_batch(store, client, run, chunk[start : start + batch_size])
        logger.info("Enriched a chunk. openids=%d calls=%d", len(chunk), client.traffic.calls)


def _enrich_batch(store: Store, client: WeChatClient, run: Run, openids: Sequence[str]) -> None:
    """Ask about one batch; halve it as long as WeChat refuses it whole without naming a culprit.

    (40003 gives no index: developers.weixin.qq.com/community/develop/doc/
    000026501ecb90068b1b5518952000)
    """
    try:
        infos = client.get_user_infos(openids)
    except (InvalidOpenID, BatchSizeRefused) as error:
        if len(openids) > 1:
            middle = len(openids) // 2
            _enrich_batch(store, client, run, openids[:middle])
            _enrich_batch(store, client, run, openids[middle:])
            return
        if isinstance(error, BatchSizeRefused):
            raise
        logger.warning("Put an OpenID into quarantine. openid=%s", shown(openids[0]))
        store.save_quarantined(
            run.id,
            run.account_id,
            openids[0],
            errcode=error.errcode,
            reason="batchget refuses it",
            traffic=client.traffic,
        )
        return
    # By OpenID, never by position: the order of an answer is not promised, nor its length.
    asked = dict.fromkeys(openids)
    answered: dict[str, UserInfo] = {}
    for info in infos:
        if info.openid in asked:
            answered.setdefault(info.openid, info)
    missing = len(asked) - len(answered)
    if missing:
        logger.info("A batch came back without all its entries. missing=%d", missing)
    store.save_user_infos(
        run.id, run.account_id, list(answered.values()), missing=missing, traffic=client.traffic
    )
