"""One cheap call before a run that is likely to fail, so that it does not use up the quotas."""

import logging
from functools import partial

from syncjob.errors import WeChatError
from syncjob.job.evidence import everybody
from syncjob.job.job import Job
from syncjob.wechat.errcodes import is_lasting

logger = logging.getLogger(__name__)


def probe(job: Job) -> None:
    """Step: if the last runs failed in a row for one lasting cause, see whether it lasts.

    Raises what WeChat answers. Where no token is stored, to fetch one is the probe; else somebody
    is asked about, since user/info may be called half a million times a day, and user/get 500. What
    WeChat refuses about one person is that person's: then others are asked about, none of whom is
    in quarantine.
    """
    if job.plan.probe_after:
        cause = job.store.runs.get_failing_cause(job.account.id, job.plan.probe_after)
        if cause is not None and is_lasting(cause):
            _call(job, cause)
    # Another run may have ended a backfill just before this one began.
    job.read_account()


def _call(job: Job, cause: int) -> None:
    logger.info("The last runs failed alike, so one call comes first. errcode=%d", cause)
    openids = job.store.followers.get_controls(job.account.id)
    try:
        job.workers.call("ask", partial(job.client.probe, openids))
    except WeChatError as error:
        raise everybody(error) from None
