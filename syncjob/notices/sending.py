"""At the end of a run: finds the account's state, and sends it where it is news."""

import logging
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from syncjob.config import NoticeSettings, Secret
from syncjob.database.store import Store, open_store
from syncjob.errors import DatabaseError, SyncjobError
from syncjob.model.accounts import Account, Standing
from syncjob.notices.channels import NotSent, open_channels
from syncjob.notices.memory import Files, Memory
from syncjob.notices.notice import Notice
from syncjob.notices.state import LASTING, OK, is_silent, state_after

logger = logging.getLogger(__name__)


def send_change(
    settings: NoticeSettings,
    database_url: Secret | None,
    report: Mapping[str, Any],
    error: BaseException | None,
) -> None:
    """Send the account's state to each channel whose last state is another.

    `error` is what ended the run, `report` its report; `database_url` is None if the settings could
    not be read. An idle run made no call: it neither begins nor ends a failure. A notice that could
    not be sent is sent at the end of the next run.
    """
    if is_silent(error) or report.get("idle"):
        return
    with ExitStack() as stack:
        found = None
        # A database that has just failed is not waited for once more.
        if database_url is not None and not isinstance(error, DatabaseError):
            found = _look(stack, database_url.reveal(), settings.appid or "")
        store, account, standing = found or (None, None, None)
        state = state_after(error, standing.exit_codes if standing else ())
        if state is None:
            return
        files = Files(settings.state_folder, settings.appid)
        memory = Memory(files, store, None if account is None else account.id)
        for channel in open_channels(settings):
            before = memory.get(channel.name)
            if before == state:
                memory.adopt(channel.name)
                continue
            try:
                channel.send(_notice(settings, report, state, before, standing))
            except NotSent as failure:
                logger.warning(
                    "Could not send a notice. channel=%s reason=%s", channel.name, failure
                )
                continue
            logger.info("Sent a notice. channel=%s state=%s", channel.name, state)
            memory.save(channel.name, state)


def make_test_notice(settings: NoticeSettings) -> Notice:
    """Return a notice that says it is a test."""
    return Notice(event="test", appid=settings.appid, host=socket.gethostname(), command="notify")


def _look(
    stack: ExitStack, database_url: str, appid: str
) -> tuple[Store, Account, Standing] | None:
    """Return the store, the account and its standing; None if there is no such account."""
    try:
        store = stack.enter_context(open_store(database_url, name=f"syncjob/{appid}"))
        account = store.accounts.get(appid)
        if account is None:
            return None
        return store, account, store.notices.get_standing(account.id, LASTING)
    except SyncjobError:  # the run has reported it, or the next one will
        return None


def _notice(
    settings: NoticeSettings,
    report: Mapping[str, Any],
    state: str,
    before: str,
    standing: Standing | None,
) -> Notice:
    return Notice(
        event="recovered" if state == OK else "failed",
        appid=settings.appid,
        host=socket.gethostname(),
        command=report["command"],
        run=report["id"],
        exit_code=report["exit_code"],
        errcode=report["errcode"],
        rid=report["rid"],
        message=report["message"],
        before=before,
        last_success_at=None if standing is None else standing.last_success_at,
        as_of=None if standing is None else standing.as_of,
    )
