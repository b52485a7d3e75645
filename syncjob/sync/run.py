"""One run of the job, from its start to its recorded end."""

import logging
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from syncjob.database.store import Store
from syncjob.errors import (
    ExitCode,
    ForeignList,
    ListBroken,
    QuotaExhausted,
    RunLost,
    SyncjobError,
    UnfollowsParked,
    WeChatError,
    exit_code_of,
    in_one_line,
)
from syncjob.interruption import interruption
from syncjob.model import Account, Command, Run, next_sweep_in_words
from syncjob.sync.ask import Asker
from syncjob.sync.background import Background
from syncjob.sync.bounds import Bounds
from syncjob.sync.enrich import Enrichment
from syncjob.sync.heartbeat import Heartbeat
from syncjob.sync.holder import is_dead, this_process
from syncjob.sync.housekeeping import prune
from syncjob.sync.identity import OwnList
from syncjob.sync.moves import ENOUGH, Moves
from syncjob.sync.probe import probe
from syncjob.sync.rules import DEFAULT_RULES, SweepRules
from syncjob.sync.sweep import sweep_list
from syncjob.sync.timing import next_sweep_at, wants_sweep
from syncjob.sync.unfollow import prove_unfollows
from syncjob.sync.walk import SweepEnd
from syncjob.sync.watch import Watch
from syncjob.wechat.client import WeChatClient

logger = logging.getLogger(__name__)

ABANDON_AFTER = timedelta(minutes=3)  # without a heartbeat
BEATS = 6  # within ABANDON_AFTER
NOBODY = Watch()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is asked to do. `sweep_every` None means `auto`, `refresh_after` None never.

    `accept_list` believes a list that shares nobody with the followers.
    `restart` lets a backfill start over although an earlier one has not come to its end. After
    `probe_after` runs in a row that failed for one lasting cause, one call is made first, to see
    whether it lasts; 0: never. `max_pages` of the list and `max_batches` of people end a run before
    it has done all; None: they do not. What is recorded of runs and sweeps longer ago than
    `keep_runs` is deleted; None: all is kept. After `believe_moves_after` changes of unionids that
    user/info confirms, batches are believed about others.
    """

    command: Command = "sync"
    batch_size: int = 100
    concurrency: int = 1
    sweep_every: timedelta | None = None
    rules: SweepRules = DEFAULT_RULES
    refresh_after: timedelta | None = None
    refresh_limit: int = 10_000
    restart: bool = False
    probe_after: int = 0
    max_pages: int | None = None
    max_batches: int | None = None
    accept_list: bool = False
    keep_runs: timedelta | None = None
    believe_moves_after: int = ENOUGH


def run_job(
    store: Store,
    client: WeChatClient,
    account: Account,
    plan: Plan,
    *,
    on_run: Callable[[Run], object] = lambda run: None,
    watch: Watch = NOBODY,
) -> Run:
    """Sweep if it is time to, enrich what is unenriched, and record how the run ended.

    Raises RunInProgress before anything is touched while another run is alive, and otherwise what
    ended the run early, after recording it. `on_run` gets the run as it began, and as it ended if
    that could be recorded; `watch` is told of each step.
    """
    with ExitStack() as starting:
        # A signal that comes now ends a run that has a row: it is to be recorded there.
        starting.enter_context(interruption.deferred())
        run = store.runs.start(
            account.id,
            plan.command,
            holder=this_process(),
            abandon_after=ABANDON_AFTER,
            is_dead=is_dead,
        )
        on_run(run)
        started = starting.pop_all()
    try:
        started.close()
        logger.info("Started a run. run=%d command=%s appid=%s", run.id, run.command, account.appid)
        with Heartbeat(store, run.id, interval=ABANDON_AFTER.total_seconds() / BEATS):
            if plan.probe_after:
                probe(store, client, account, failures=plan.probe_after)
            # Read again: another run may have ended a backfill just before this one began.
            _work(store, client, run, store.accounts.save(account.appid), plan, watch)
        with interruption.deferred():
            run = store.runs.finish(run.id, "succeeded", client.traffic, exit_code=ExitCode.DONE)
            on_run(run)
    except RunLost as error:
        client.gate.close(error)
        raise  # the row is another's now
    except (Exception, KeyboardInterrupt) as error:
        client.gate.close(error)  # threads that wait to repeat a call must not
        if run.status == "running":
            is_recorded = _record_end(store, client, run, error, on_run)
            if is_recorded and isinstance(error, Exception):
                _prune(store, run, plan)
        raise
    _prune(store, run, plan)
    logger.info(
        "Finished the run. run=%d pages=%d openids=%d new=%d returned=%d enriched=%d skipped=%d "
        "calls=%d retries=%d",
        run.id,
        run.pages,
        run.openids,
        run.new,
        run.returned,
        run.enriched,
        run.skipped,
        run.calls,
        run.retries,
    )
    return run


def _work(
    store: Store,
    client: WeChatClient,
    run: Run,
    account: Account,
    plan: Plan,
    watch: Watch,
) -> None:
    if plan.command == "backfill" and (plan.restart or not account.backfilling):
        account = store.accounts.start_backfill(run.id, account)
        logger.info("Started a backfill: every follower is due again.")
    bounds = Bounds(plan.max_pages, plan.max_batches, plan.batch_size)
    asker = Asker(
        client,
        gate=client.gate,
        get_controls=partial(store.followers.get_controls, account.id),
        moves=Moves(plan.believe_moves_after),
    )
    prove = partial(
        prove_unfollows,
        store,
        asker,
        run,
        batch_size=plan.batch_size,
        concurrency=plan.concurrency,
        bounds=bounds,
    )
    if account.parked_at is None:  # what an interrupted run or an approval left to be asked about
        prove()
    enrichment = Enrichment(
        store,
        asker,
        run,
        batch_size=plan.batch_size,
        concurrency=plan.concurrency,
        bounds=bounds,
        watch=watch,
    )
    swept = None
    with enrichment:
        if wants_sweep(store, account, plan.sweep_every):
            swept = _sweep(store, client, run, account, plan, enrichment, bounds, watch)
            account = store.accounts.save(account.appid)  # the seal may have parked, or lifted that
            if account.parked_at is None:
                prove()
        else:
            at = next_sweep_at(store, account, plan.sweep_every)
            due = next_sweep_in_words(at, store.get_now())
            logger.info("It is not time for a new sweep yet: %s.", due)
        if swept is None or not swept.whole or plan.concurrency == 1:
            enrichment.put_unenriched()
        if plan.refresh_after is not None:
            enrichment.flush()  # what it stores is not stale any more
            enrichment.put_stale(plan.refresh_after, plan.refresh_limit)
    if swept is not None and swept.fault is not None:
        raise ListBroken(
            f"WeChat's follower list cannot be trusted this time: {swept.fault}\n"
            "what it brought is stored, nobody was marked as gone; the next run starts over"
        )
    if bounds.reached:
        logger.info("Did as much as was asked for; the next run goes on.")
    elif account.backfilling:
        store.accounts.finish_backfill(run.id, account.id)
        account = store.accounts.save(account.appid)
    if enrichment.saw_unionids and not account.backfilling:
        _check_unionids(store, run)
    if account.parked_at is not None:
        raise UnfollowsParked(
            f"{store.unfollows.count_candidates(account.id):,} followers are missing from WeChat's "
            "list, too many to be believed; nobody was marked as gone\n"
            "look at them: syncjob unfollows; then: syncjob unfollows approve, or reject"
        )


def _check_unionids(store: Store, run: Run) -> None:
    """Say once that profiles of before the account was bound to an Open Platform lack a unionid."""
    if store.unionids.check(run.id, run.account_id):
        logger.warning(
            "WeChat sends unionids now, and followers whose profile is older have none. "
            "Fetch all profiles again: syncjob backfill"
        )


def _sweep(
    store: Store,
    client: WeChatClient,
    run: Run,
    account: Account,
    plan: Plan,
    enrichment: Enrichment,
    bounds: Bounds,
    watch: Watch,
) -> SweepEnd:
    """Follow the list; with more than one call at a time, while its people are asked about."""
    own = OwnList(
        store,
        account,
        get_token_source=lambda: client.token_source,
        accept=plan.accept_list,
    )
    try:
        return _follow(store, client, run, plan, own, enrichment, bounds, watch)
    except ForeignList:
        client.forget_token()
        raise


def _follow(
    store: Store,
    client: WeChatClient,
    run: Run,
    plan: Plan,
    own: OwnList,
    enrichment: Enrichment,
    bounds: Bounds,
    watch: Watch,
) -> SweepEnd:
    if plan.concurrency == 1:
        return sweep_list(
            store,
            lambda cursor: partial(client.get_followers, cursor),
            run,
            plan.rules,
            get_traffic=lambda: client.traffic,
            own=own,
            people=None,
            bounds=bounds,
            watch=watch,
        )
    ahead = Background(1, name="list")
    try:
        swept = sweep_list(
            store,
            lambda cursor: ahead.submit(partial(client.get_followers, cursor)).result,
            run,
            plan.rules,
            get_traffic=lambda: client.traffic,
            own=own,
            people=enrichment,
            bounds=bounds,
            watch=watch,
        )
    finally:
        ahead.stop()
    enrichment.flush()
    return swept


def _prune(store: Store, run: Run, plan: Plan) -> None:
    if plan.keep_runs is not None:
        prune(store, run.account_id, plan.keep_runs, failures=plan.probe_after)


def _record_end(
    store: Store,
    client: WeChatClient,
    run: Run,
    error: BaseException,
    on_run: Callable[[Run], object],
) -> bool:
    """Record the end as well as can be: what ended the run matters more than that it is recorded.

    Returns whether it is. If the database is what failed, the next run finds this process dead and
    says so in its place.
    """
    of_wechat = error if isinstance(error, WeChatError) else None
    ended = None
    try:
        with interruption.deferred():
            ended = store.runs.finish(
                run.id,
                "interrupted" if isinstance(error, KeyboardInterrupt) else "failed",
                client.traffic,
                errcode=None if of_wechat is None else of_wechat.errcode,
                message=in_one_line(_words(error)),
                rid=None if of_wechat is None else of_wechat.rid,
                exit_code=exit_code_of(error),
                exhausted=error.cgi_path if isinstance(error, QuotaExhausted) else None,
            )
            on_run(ended)
    except (SyncjobError, KeyboardInterrupt) as failure:
        if ended is None:
            has_time = isinstance(failure, SyncjobError)
            reason = in_one_line(failure) if has_time else "no time is left"
            logger.warning("Could not record the end of the run. run=%d reason=%s", run.id, reason)
    return ended is not None


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "by a signal"
    return str(error) if isinstance(error, SyncjobError) else f"internal error: {_place(error)}"


def _place(error: BaseException) -> str:
    """Say what broke and where, without the error's own text, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
