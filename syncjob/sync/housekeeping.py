"""After a run: delete what is recorded of runs of long ago."""

import logging
from datetime import timedelta

from syncjob.database.store import Store
from syncjob.errors import SyncjobError, in_one_line
from syncjob.sync.timing import DISCARDED_IN_A_ROW

logger = logging.getLogger(__name__)

# So many steps a run at most, each one short transaction: the next run goes on.
STEPS = 50
# Notices look at so many failures in a row.
FAILURES = 3


def prune(store: Store, account_id: int, keep: timedelta, *, failures: int) -> None:
    """Delete what is recorded of runs and sweeps that ended longer ago than `keep`.

    `failures` in a row are what a probe waits for. How the run ended matters more: where this
    fails, a line says so.
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
    except Exception as error:  # noqa: BLE001 - the run matters more
        # Of others not the text, which may hold anything.
        is_ours = isinstance(error, SyncjobError)
        reason = in_one_line(error) if is_ours else type(error).__name__
        logger.warning("Old runs could not be deleted. reason=%s", reason)
    if deleted:
        logger.info("Deleted old runs and sweeps. rows=%d", deleted)
