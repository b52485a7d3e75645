"""The sweep: one pass over WeChat's follower list, resumable page by page.

WeChat's list is in no order of following, new followers appear anywhere in it. So the cursor is
only for resuming an interrupted sweep; a finished one is followed by another from the start.
"""

import logging
from contextlib import suppress
from functools import partial

from syncjob.errors import ForeignList, WeChatError
from syncjob.job.identity import OwnList
from syncjob.job.job import Job
from syncjob.job.pages import CursorRefused, Pages, SweepEnd
from syncjob.job.timing import is_too_old, next_sweep_at, wants_sweep
from syncjob.log_context import add_log_fields
from syncjob.model.spans import next_sweep_in_words
from syncjob.model.sweeps import Sweep
from syncjob.wechat.client import USER_GET, USER_INFO_BATCHGET

logger = logging.getLogger(__name__)


def sweep_list(job: Job) -> None:
    """Step: if it is time to, go on with the open sweep, or start one, and follow the list.

    Whoever is due is asked about meanwhile. A cursor that WeChat refuses starts the list over,
    once, after all answers are stored: none from before a sweep may be stored after it, or it would
    speak for a follower that the sweep did not list. What the pages of a discarded sweep added
    stays stored. Raises ForeignList where a page is not of the account's own list. Where the bounds
    of the run end it, the sweep stays open for the next run.
    """
    if not wants_sweep(job.store, job.account, job.plan.sweep_every):
        at = next_sweep_at(job.store, job.account, job.plan.sweep_every)
        due = next_sweep_in_words(at, job.store.get_now())
        logger.info("It is not time for a new sweep yet: %s.", due)
        return
    try:
        _follow(job)
    except ForeignList:
        job.client.forget_token()
        raise
    job.read_account()  # the seal may have parked the candidates, or lifted that


def _follow(job: Job) -> None:
    store, account_id = job.store, job.account.id
    is_first = store.sweeps.get_sealed(account_id) is None
    sweep = store.sweeps.get_open(account_id)
    if sweep is not None and is_too_old(sweep, job.plan.rules.max_age, store.get_now()):
        logger.info("The open sweep is too old to go on with. sweep=%d", sweep.id)
        job.in_store(store.sweeps.discard, job.run.id, sweep.id, "it was too old to go on with")
        sweep = None
    empty = False
    if sweep is None:
        empty = is_first and store.followers.find_openid(account_id) is None
        sweep = _start(job)
    else:
        if is_first:  # no other is held
            job.in_store(store.sweeps.resume, job.run.id, sweep)
        add_log_fields(sweep=sweep.id)
        logger.info("Went on with the open sweep. sweep=%d pages=%d", sweep.id, sweep.pages)
    if is_first:
        _prepare(job)
    own = OwnList(
        store,
        job.account,
        get_token_source=lambda: job.client.token_source,
        accept=job.plan.accept_list,
    )
    is_whole = sweep.pages == 0
    end = _follow_pages(job, own, sweep, holds=is_first, empty=empty, again=False)
    if end.cursor_refused:
        logger.info("WeChat refused the cursor, the list starts over. sweep=%d", sweep.id)
        is_whole = True
        sweep = _start(job)
        end = _follow_pages(job, own, sweep, holds=is_first, empty=False, again=True)
    job.sweep_fault = end.fault
    job.all_due_asked = is_whole and end.is_sealed and not end.listed_again


def _follow_pages(
    job: Job, own: OwnList, sweep: Sweep, *, holds: bool, empty: bool, again: bool
) -> SweepEnd:
    """Follow the list; return its end once all answers are stored.

    Where WeChat refuses a cursor, the sweep is discarded.
    """
    with Pages(job, own, sweep, holds=holds, empty=empty) as pages:
        try:
            end = pages.follow()
        except CursorRefused as refused:
            reason = f"WeChat refused its cursor: {refused}"
            if again:
                reason = f"WeChat refused its cursor twice: {refused}"
            job.in_store(job.store.sweeps.discard, job.run.id, sweep.id, reason)
            end = SweepEnd(fault=reason, cursor_refused=True)
    return end


def _start(job: Job) -> Sweep:
    sweep = job.store.sweeps.start(job.run.id, job.account.id)
    add_log_fields(sweep=sweep.id)
    logger.info("Started a sweep. sweep=%d", sweep.id)
    return sweep


def _prepare(job: Job) -> None:
    """Have a token and know the quotas, so that no call of the first page waits for them.

    Raises what the list's first call would.
    """
    job.workers.call("list", partial(job.client.prepare, USER_GET))

    def prepare() -> None:
        with suppress(WeChatError):  # which the first batch will meet
            job.client.prepare(USER_INFO_BATCHGET)

    job.workers.start("ask", prepare, lambda result, error: None)
