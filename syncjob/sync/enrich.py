"""Enrichment: fill the followers' rows with what WeChat says of them, a batch at a time."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from syncjob.database.store import Store
from syncjob.errors import InvalidOpenID, NoSuchUser
from syncjob.model import Answers, Refusal, Run, UnionidConflict, shown
from syncjob.sync.ask import ask
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
        _enrich_chunk(store, client, run, chunk, batch_size)
        logger.info("Enriched a chunk. openids=%d calls=%d", len(chunk), client.traffic.calls)


def refresh(
    store: Store,
    client: WeChatClient,
    run: Run,
    *,
    batch_size: int,
    refresh_after: timedelta,
    limit: int,
) -> None:
    """Ask again about up to `limit` followers whose profile is older than that, oldest first."""
    stale = store.get_stale(run.account_id, refresh_after=refresh_after, limit=limit)
    _enrich_chunk(store, client, run, stale, batch_size)
    if stale:
        logger.info("Refreshed profiles. openids=%d", len(stale))


def _enrich_chunk(
    store: Store, client: WeChatClient, run: Run, openids: Sequence[str], batch_size: int
) -> None:
    contested = refused = 0
    for start in range(0, len(openids), batch_size):
        answers = ask(client, openids[start : start + batch_size])
        conflicts = store.get_unionid_conflicts(run.account_id, answers.following)
        if conflicts:
            answers = _settle(client, answers, conflicts)
        store.save_answers(run.id, run.account_id, answers, client.traffic)
        contested += len(conflicts)
        refused += len(answers.refused)
    # Once for many, since cron mails each line.
    if contested:
        logger.warning("Unionids were not what they had been, or not alone. openids=%d", contested)
    if refused:
        logger.warning("Put OpenIDs into quarantine. openids=%d", refused)


def _settle(
    client: WeChatClient, answers: Answers, conflicts: Sequence[UnionidConflict]
) -> Answers:
    """Ask user/info about each unionid in conflict; what it does not confirm is not stored.

    An OpenID that is in conflict but was not asked about here is the other owner of a unionid:
    what user/info says of it is right, whatever is stored.
    """
    following = {info.openid: info for info in answers.following}
    gone, missing, refused = list(answers.gone), list(answers.missing), list(answers.refused)
    for conflict in conflicts:
        openid = conflict.openid
        asked_about = following.pop(openid, None)
        try:
            info = client.get_user_info(openid)
        except (InvalidOpenID, NoSuchUser) as error:
            refused.append(Refusal(openid, error.errcode, "WeChat refuses it by itself"))
            continue
        if info.openid != openid or info.subscribe is None:
            missing.append(openid)
        elif not info.subscribe:
            gone.append(openid)
        elif asked_about is not None and info.unionid != conflict.told:
            refused.append(Refusal(openid, None, _disagreement(conflict, info.unionid)))
        else:
            following[openid] = info
            if info.unionid != conflict.stored:
                logger.info(
                    "A unionid is not what it was, or not alone; user/info confirms it. "
                    "openid=%s unionid=%s stored=%s",
                    shown(openid),
                    shown(info.unionid or ""),
                    shown(conflict.stored or ""),
                )
    return replace(
        answers, following=list(following.values()), gone=gone, missing=missing, refused=refused
    )


def _disagreement(conflict: UnionidConflict, confirmed: str | None) -> str:
    """Say which unionids disagree, each as its hash."""
    values = (
        f"batchget says {shown(conflict.told)}",
        f"user/info {shown(confirmed) if confirmed else 'none'}",
        f"stored is {shown(conflict.stored) if conflict.stored else 'none'}",
    )
    return f"its unionid is in doubt: {', '.join(values)}"
