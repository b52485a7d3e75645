"""The removal of an account: everything of it in every table, in steps that are safe to repeat.

It holds the place of a run meanwhile, so that no other run of the account begins.
"""

import logging
from contextlib import suppress

from syncjob.database.store import Store
from syncjob.errors import RunLost, SettingsError, Stopped, SyncjobError, exit_code_of
from syncjob.model import Account, Traffic
from syncjob.sync.holder import is_dead, this_process
from syncjob.sync.run import ABANDON_AFTER

logger = logging.getLogger(__name__)

ROWS_A_STEP = 10_000


def remove_account(
    store: Store, account: Account, *, erase: bool, rows_a_step: int = ROWS_A_STEP
) -> None:
    """Remove the account; its followers too with `erase`, else one that has some is refused.

    Raises RunInProgress while a run of it is alive. Interrupted, it has erased some of the
    followers, and the next removal goes on.
    """
    require_removable(store, account, erase=erase)
    run = store.runs.start(
        account.id, "remove", holder=this_process(), abandon_after=ABANDON_AFTER, is_dead=is_dead
    )
    erased = 0
    try:
        # Again: a run may have added some before this one took its place.
        require_removable(store, account, erase=erase)
        while rows := store.removal.erase_people(run.id, account.id, limit=rows_a_step):
            erased += rows
            logger.info("Erased people. appid=%s rows=%d", account.appid, erased)
        store.removal.remove_account(run.id, account.id)
    except RunLost:
        raise  # the row is another's now
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
    """Raise SettingsError if the account has followers and is not to be erased with them."""
    if not erase and store.followers.find_openid(account.id) is not None:
        raise SettingsError(
            f"the account {account.appid} has followers; nothing was removed\n"
            f"to erase them with it: syncjob accounts remove {account.appid} --erase"
        )
