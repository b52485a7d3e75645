"""Removes an account: all of its rows in every table, in steps that are safe to repeat.

The removal is recorded as a run, so that no other run of the account can start meanwhile.
"""

import logging
from contextlib import suppress

from syncjob.database.store import Store
from syncjob.errors import RunLost, SettingsError, Stopped, SyncjobError, exit_code_of
from syncjob.job.process import is_dead, this_process
from syncjob.job.run import ABANDON_AFTER
from syncjob.model.accounts import Account
from syncjob.model.runs import Traffic

logger = logging.getLogger(__name__)

ROWS_A_STEP = 10_000


def remove_account(
    store: Store, account: Account, *, erase: bool, rows_a_step: int = ROWS_A_STEP
) -> None:
    """Remove the account; with `erase` its followers too.

    Raises SettingsError if it has followers and `erase` is not set, RunInProgress while a run of it
    is alive. An interrupted removal has erased some followers; the next one continues.
    """
    require_removable(store, account, erase=erase)
    run = store.runs.start(
        account.id, "remove", holder=this_process(), abandon_after=ABANDON_AFTER, is_dead=is_dead
    )
    erased = 0
    try:
        # Check again: a run may have added followers before this one started.
        require_removable(store, account, erase=erase)
        while rows := store.removal.erase_people(run.id, account.id, limit=rows_a_step):
            erased += rows
            logger.info("Erased people. appid=%s rows=%d", account.appid, erased)
        store.removal.remove_account(run.id, account.id)
    except RunLost:
        raise  # another process owns the row now
    except (Exception, KeyboardInterrupt) as error:
        message = "the account was not removed; what was erased of it is gone" if erased else None
        with suppress(SyncjobError):
            store.runs.finish(
                run.id, "interrupted", Traffic(), message=message, exit_code=exit_code_of(error)
            )
        if isinstance(error, KeyboardInterrupt) and erased:
            raise Stopped(
                f"stopped by {error}; {erased:,} rows of the account are erased\n"
                f"to erase the rest: syncjob accounts remove {account.appid} --erase"
            ) from None
        raise
    logger.info("Removed the account. appid=%s rows=%d", account.appid, erased)


def require_removable(store: Store, account: Account, *, erase: bool) -> None:
    """Raise SettingsError if the account has followers and `erase` is not set."""
    if not erase and store.followers.find_openid(account.id) is not None:
        raise SettingsError(
            f"the account {account.appid} has followers; nothing was removed\n"
            f"to erase them with it: syncjob accounts remove {account.appid} --erase"
        )
