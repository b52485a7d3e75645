"""The backfill: every follower's profile is fetched again, over as many runs as that takes."""

import logging

from syncjob.job.job import Job
from syncjob.job.timing import owes_sweep

logger = logging.getLogger(__name__)


def start_backfill(job: Job) -> None:
    """Step: make every follower due again, if that is what the run was asked for.

    A backfill that has not come to its end goes on, unless the plan restarts it.
    """
    if job.plan.command == "backfill" and (job.plan.restart or not job.account.backfilling):
        job.account = job.in_store(job.store.accounts.start_backfill, job.run.id, job.account)
        logger.info("Started a backfill: every follower is due again.")


def finish_backfill(job: Job) -> None:
    """Step: end the backfill once everybody was listed and asked about; not at a bound.

    While the list is broken a run may not list at all: then the backfill goes on.
    """
    if job.bounds.reached:
        logger.info("Did as much as was asked for; the next run goes on.")
    elif job.account.backfilling and not owes_sweep(job.store, job.account):
        job.in_store(job.store.accounts.finish_backfill, job.run.id, job.account.id)
        job.read_account()
