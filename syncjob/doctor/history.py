"""Checks what is recorded of runs, sweeps and followers."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from syncjob.doctor.findings import Finding, fault, note, ok, warning
from syncjob.errors import ExitCode
from syncjob.model.accounts import AccountStatus
from syncjob.model.runs import Run
from syncjob.model.spans import next_sweep_in_words, span_in_words
from syncjob.model.sweeps import Sweep

DISTRUSTED = 3  # sweeps in a row that were discarded
MANY = 0.01  # of the followers, in quarantine
LONG_RUN = timedelta(days=1)


def check_history(
    status: AccountStatus,
    *,
    sweeps: list[Sweep],
    next_sweep_at: datetime | None,
    max_age: timedelta,
    died: bool,
) -> Iterator[Finding]:
    """Yield findings about the last success, the last run, and what is pending.

    `sweeps` are in order, the newest first. `next_sweep_at` is when the next sweep is due; None:
    the next run starts one. `died`: the process of the run that is recorded as running no longer
    exists.
    """
    yield _of_success(status, next_sweep_at, max_age)
    if status.last_asking_run is not None:
        yield from _of_last_run(status.last_asking_run)
    if status.running is not None:
        yield _of_running(status, status.running, died=died)
    if status.account.parked_at is not None:
        yield fault(
            "unfollows",
            f"{status.candidates:,} followers are missing from the list, too many to be believed",
            "look at them: syncjob unfollows; then approve or reject",
        )
    yield from _of_people(status)
    newest = sweeps[:DISTRUSTED]
    if len(newest) == DISTRUSTED and all(sweep.status == "discarded" for sweep in newest):
        yield warning(
            "list",
            f"the last {DISTRUSTED} passes over the list were given up: {newest[0].reason}",
            "compare the numbers with the console; if blocked users explain them, widen "
            "SYNCJOB_MAX_DRIFT",
        )


def _of_success(
    status: AccountStatus, next_sweep_at: datetime | None, max_age: timedelta
) -> Finding:
    """Judge the age of the last success; old is fine if runs found nothing due since."""
    success = status.last_success_at
    if success is None:
        if status.last_run is None:
            return note("success", "no run has ended yet", "start one: syncjob -v sync")
        return fault("success", "no run has ever succeeded", "see the last run below")
    age = status.as_of - success
    last, idle_since = status.last_run, next_sweep_at or status.as_of - max_age
    is_alive = last is not None and status.as_of - (last.finished_at or success) <= max_age
    if age > max_age and is_alive and status.as_of - idle_since < max_age:
        due = next_sweep_in_words(next_sweep_at, status.as_of)
        return ok("success", f"the last was {span_in_words(age)} ago, then nothing was due: {due}")
    if age > max_age:
        return fault(
            "success",
            f"the last was {span_in_words(age)} ago, longer than {span_in_words(max_age)}",
            "is the timer on (systemctl list-timers, crontab -l)? See also the last run",
        )
    return ok("success", f"the last was {span_in_words(age)} ago")


def _of_last_run(run: Run) -> Iterator[Finding]:
    if run.status == "succeeded":
        return
    what = f"{run.command} #{run.id} {run.status}"
    said, _, cure = (run.message or "").partition("; ")
    if said:
        what += f": {said}"
    passes = run.status != "failed" or run.exit_code == ExitCode.TRY_AGAIN_LATER
    if run.status == "failed" and run.exit_code == ExitCode.PARKED:
        return  # reported below
    yield warning("last run", what, cure or ("nothing: the next run goes on" if passes else "-"))


def _of_running(status: AccountStatus, run: Run, *, died: bool) -> Finding:
    beat = span_in_words(status.as_of - run.heartbeat_at)
    since = status.as_of - run.started_at
    what = f"{run.command} #{run.id} has been running for {span_in_words(since)}"
    where = (run.holder or "").partition(" boot=")[0]
    held = f" ({where})" if where else ""
    if died:
        return warning(
            "running",
            f"{run.command} #{run.id} is recorded as running, its process is gone",
            "nothing: the next run goes on in its place",
        )
    if status.as_of - run.heartbeat_at > timedelta(minutes=3):
        return warning(
            "running",
            f"{what}{held}, without a heartbeat for {beat}",
            "nothing: the next run takes its place",
        )
    if since > LONG_RUN:
        return warning("running", f"{what}{held}", "watch it: syncjob status; is WeChat far away?")
    return note("running", f"{what}{held}, last heartbeat {beat} ago")


def _of_people(status: AccountStatus) -> Iterator[Finding]:
    if status.quarantined > MANY * max(status.subscribed, 1):
        yield warning(
            "quarantine",
            f"{status.quarantined:,} of {status.subscribed:,} followers cannot be asked about",
            "SELECT reason, errcode, count(*) FROM quarantine GROUP BY 1, 2 says why",
        )
    elif status.quarantined:
        yield note("quarantine", f"{status.quarantined:,} OpenIDs, asked again by themselves")
    if status.account.unionids_missing_at is not None:
        yield note(
            "unionids",
            "WeChat sends unionids, and older profiles have none; was the account bound to an "
            "Open Platform?",
            "fetch all profiles again: syncjob backfill",
        )
    if status.unenriched:
        yield note(
            "profiles",
            f"{status.unenriched:,} of {status.followers:,} are still to be fetched",
            "syncjob plan says how long that takes",
        )
