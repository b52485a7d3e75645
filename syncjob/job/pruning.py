"""Deletes the records of old runs, after a run."""

import logging
from datetime import timedelta

from syncjob.database.store import Store
from syncjob.errors import SyncjobError, in_one_line
from syncjob.job.timing import DISCARDED_IN_A_ROW

logger = logging.getLogger(__name__)

# At most so many short transactions per run; the next run continues.
STEPS = 50
# Notices look back at so many failures in a row.
FAILURES = 3


def prune(store: Store, account_id: int, keep: timedelta, *, failures: int) -> None:
    """Delete the records of runs and sweeps that ended longer ago than `keep`.

    The last `failures` runs stay, since a probe looks at them. Raises nothing: the result of the
    run matters more, so a failure is only logged.
    """
    deleted = 0
    try:
        for _ in range(STEPS):
            step = store.retention.prune(
                account_id,
                keep=keep,
                failures=max(failures, FAILURES),
                discarded=DISCARDED_IN_A_ROW,
            )
            if not step:
                break
            deleted += step
    except Exception as error:  # noqa: BLE001 - the result of the run matters more
        # The text of other errors may hold anything.
        is_ours = isinstance(error, SyncjobError)
        reason = in_one_line(error) if is_ours else type(error).__name__
        logger.warning("Old runs could not be deleted. reason=%s", reason)
    if deleted:
        logger.info("Deleted old runs and sweeps. rows=%d", deleted)
