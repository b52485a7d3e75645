"""One cheap call before a run that is likely to fail, so that it does not use up the quotas."""

import logging

from syncjob.database.store import Store
from syncjob.errors import WeChatError
from syncjob.model import Account
from syncjob.sync.evidence import everybody
from syncjob.wechat.client import WeChatClient
from syncjob.wechat.errcodes import is_lasting

logger = logging.getLogger(__name__)


def probe(store: Store, client: WeChatClient, account: Account, *, failures: int) -> None:
    """If the last runs, `failures` in a row, failed for one lasting cause, see whether it lasts.

    Raises what WeChat answers. Where no token is stored, to fetch one is the probe; else somebody
    is asked about, since user/info may be called half a million times a day, and user/get 500. What
    WeChat refuses about one person is that person's: then others are asked about, none of whom is
    in quarantine.
    """
    cause = store.runs.get_failing_cause(account.id, failures)
    if cause is None or not is_lasting(cause):
        return
    logger.info("The last runs failed alike, so one call comes first. errcode=%d", cause)
    try:
        client.probe(store.followers.get_controls(account.id))
    except WeChatError as error:
        raise everybody(error) from None
