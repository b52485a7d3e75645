"""One run of the job, from its start to its recorded end."""

import logging
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

from syncjob.database.store import Store
from syncjob.errors import (
    ExitCode,
    QuotaExhausted,
    RunLost,
    SyncjobError,
    WeChatError,
    exit_code_of,
    in_one_line,
)
from syncjob.interruption import interruption
from syncjob.job.ask import Asker
from syncjob.job.enrich import log_tally
from syncjob.job.job import NO_PROGRESS, Bounds, Job, Plan, Progress, Tally
from syncjob.job.moves import Moves
from syncjob.job.process import is_dead, this_process
from syncjob.job.pruning import prune
from syncjob.job.steps import STEPS
from syncjob.job.workers import Workers
from syncjob.log_context import add_log_fields
from syncjob.model.accounts import Account
from syncjob.model.pseudonyms import Pseudonyms
from syncjob.model.runs import Run
from syncjob.wechat.client import WeChatClient

logger = logging.getLogger(__name__)

ABANDON_AFTER = timedelta(minutes=3)  # without a heartbeat
BEATS = 6  # within ABANDON_AFTER


def run_job(
    store: Store,
    client: WeChatClient,
    account: Account,
    plan: Plan,
    *,
    on_run: Callable[[Run], object] = lambda run: None,
    progress: Progress = NO_PROGRESS,
    holder: str | None = None,
    is_dead: Callable[[str], bool] = is_dead,
    beat_every: float = ABANDON_AFTER.total_seconds() / BEATS,
) -> Run:
    """Take the steps of a run, and record how it ended.

    Raises RunInProgress before anything is touched while another run is alive, and otherwise what
    ended the run early, after recording it. `on_run` gets the run as it began, and as it ended if
    that could be recorded. `holder` names the process, this one by default; of another one's name
    `is_dead` tells whether it is certainly gone. The heartbeat is renewed every `beat_every`
    seconds at least.
    """
    with ExitStack() as starting:
        # Defer signals until the id of the row is known: the end of the run is recorded there.
        starting.enter_context(interruption.deferred())
        run = store.runs.start(
            account.id,
            plan.command,
            holder=holder or this_process(),
            abandon_after=ABANDON_AFTER,
            is_dead=is_dead,
        )
        add_log_fields(run=run.id, appid=account.appid)
        on_run(run)
        started = starting.pop_all()
    try:
        started.close()
        logger.info("Started a run. run=%d command=%s appid=%s", run.id, run.command, account.appid)
        _take_steps(store, client, run, account, plan, progress, beat_every)
        with interruption.deferred():
            run = store.runs.finish(run.id, "succeeded", client.traffic, exit_code=ExitCode.DONE)
            on_run(run)
    except RunLost as error:
        client.gate.close(error)
        raise  # another process owns the row now
    except (Exception, KeyboardInterrupt) as error:
        client.gate.close(error)  # keeps threads that wait from retrying
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


def _take_steps(
    store: Store,
    client: WeChatClient,
    run: Run,
    account: Account,
    plan: Plan,
    progress: Progress,
    beat_every: float,
) -> None:
    asker = Asker(
        client,
        gate=client.gate,
        get_controls=partial(store.followers.get_controls, account.id),
        moves=Moves(plan.believe_moves_after),
        pseudonyms=Pseudonyms(account.hash_key),
    )
    tally = Tally(plan.log_every)
    workers = Workers(
        calls=plan.concurrency,
        writers=store.writers,
        beat=partial(store.runs.beat, run.id),
        beat_every=beat_every,
    )
    with workers:
        job = Job(store, client, asker, workers, run, account, plan, Bounds(plan), tally, progress)
        try:
            for step in STEPS:
                step(job)
        finally:
            log_tally(tally)


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
    """Record how the run ended; return whether that succeeded.

    Raises nothing: the error that ended the run matters more. If the database is what failed, the
    next run finds this process dead and records that.
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
    """Return the type and place of an error, without its text, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
