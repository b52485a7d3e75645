"""Whether followers lack the unionid that WeChat sends now."""

import logging

from syncjob.job.job import Job

logger = logging.getLogger(__name__)


def check_unionids(job: Job) -> None:
    """Step: warn once if profiles from before the account joined an Open Platform lack unionids.

    Only where WeChat has sent a unionid in this run; not during a backfill, which fills them.
    """
    if not job.saw_unionids or job.account.backfilling:
        return
    if job.in_store(job.store.unionids.check, job.run.id, job.account.id):
        logger.warning(
            "WeChat sends unionids now, and followers whose profile is older have none. "
            "Fetch all profiles again: syncjob backfill"
        )
