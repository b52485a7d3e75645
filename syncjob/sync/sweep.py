"""The sweep: one pass over WeChat's follower list, resumable page by page.

WeChat's list is in no order of following, new followers appear anywhere in it. So the cursor is
only for resuming an interrupted sweep; a finished one is followed by another from the start.
"""

import logging
from collections.abc import Callable

from syncjob.database.store import Store
from syncjob.model import Run, Sweep, Traffic
from syncjob.sync.arrivals import CursorRefused, Fetch
from syncjob.sync.bounds import Bounds
from syncjob.sync.enrich import Enrichment
from syncjob.sync.identity import OwnList
from syncjob.sync.rules import SweepRules
from syncjob.sync.timing import is_too_old
from syncjob.sync.walk import SweepEnd, Walk
from syncjob.sync.watch import Watch

logger = logging.getLogger(__name__)


def sweep_list(
    store: Store,
    fetch: Fetch,
    run: Run,
    rules: SweepRules,
    *,
    get_traffic: Callable[[], Traffic],
    own: OwnList,
    people: Enrichment | None,
    bounds: Bounds,
    watch: Watch,
) -> SweepEnd:
    """Go on with the open sweep, or start one, and follow its pages to the end.

    `people` asks about whoever of the pages is due; None: nobody does meanwhile. A cursor that
    WeChat refuses starts the list over, once, after all answers are stored: none from before a
    sweep may be stored after it, or it would speak for somebody whom the sweep did not list. What
    the pages of a discarded sweep brought stays stored. Raises ForeignList where a page is not of
    the account's own list. Where `bounds` end it, the sweep stays open
    for the next run.
    """
    is_first = store.sweeps.get_sealed(run.account_id) is None
    walk = Walk(
        store,
        fetch,
        run,
        rules,
        get_traffic,
        own,
        people,
        people is not None and is_first,
        bounds,
        watch,
    )
    sweep = store.sweeps.get_open(run.account_id)
    if sweep is not None and is_too_old(sweep, rules.max_age, store.get_now()):
        logger.info("The open sweep is too old to go on with. sweep=%d", sweep.id)
        store.sweeps.discard(run.id, sweep.id, "it was too old to go on with")
        sweep = None
    empty = False
    if sweep is None:
        empty = is_first and store.followers.find_openid(run.account_id) is None
        sweep = _start(store, run, people)
    else:
        if is_first:  # no other is held
            store.sweeps.resume(run.id, sweep)
        if people is not None:
            people.hold(sweep.id)
        logger.info("Went on with the open sweep. sweep=%d pages=%d", sweep.id, sweep.pages)
    whole = sweep.pages == 0
    try:
        return walk.follow(sweep, whole=whole, empty=empty)
    except CursorRefused as refused:
        logger.info("WeChat refused the cursor, the list starts over. sweep=%d", refused.sweep.id)
        store.sweeps.discard(run.id, refused.sweep.id, f"WeChat refused its cursor: {refused}")
        if people is not None:
            people.flush()
        sweep = _start(store, run, people)
        try:
            return walk.follow(sweep, whole=True, empty=False)
        except CursorRefused as again:
            reason = f"WeChat refused its cursor twice: {again}"
            store.sweeps.discard(run.id, again.sweep.id, reason)
            return SweepEnd(reason, False)


def _start(store: Store, run: Run, people: Enrichment | None) -> Sweep:
    sweep = store.sweeps.start(run.id, run.account_id)
    if people is not None:
        people.hold(sweep.id)
    logger.info("Started a sweep. sweep=%d", sweep.id)
    return sweep
