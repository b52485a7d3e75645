"""What a run does, in order. A step takes the job; it raises what ends the run."""

from collections.abc import Callable

from syncjob.errors import ListBroken, UnfollowsParked
from syncjob.job.backfill import finish_backfill, start_backfill
from syncjob.job.enrich import enrich, refresh
from syncjob.job.job import Job
from syncjob.job.probe import probe
from syncjob.job.proof import prove_unfollows
from syncjob.job.sweep import sweep_list
from syncjob.job.unionids import check_unionids


def require_sound_list(job: Job) -> None:
    """Step: end the run if its list could not be trusted."""
    if job.sweep_fault is not None:
        raise ListBroken(
            f"WeChat's follower list cannot be trusted this time: {job.sweep_fault}\n"
            "what it brought is stored, nobody was marked as gone; the next run starts over"
        )


def require_decision(job: Job) -> None:
    """Step: end the run if so many are missing from the list that a person should look."""
    if job.account.parked_at is not None:
        missing = job.store.unfollows.count_candidates(job.account.id)
        raise UnfollowsParked(
            f"{missing:,} followers are missing from WeChat's list, too many to be believed; "
            "nobody was marked as gone\n"
            "look at them: syncjob unfollows; then: syncjob unfollows approve, or reject"
        )


STEPS: tuple[Callable[[Job], None], ...] = (
    probe,
    start_backfill,
    prove_unfollows,  # those that an interrupted run or an approval left to be asked about
    sweep_list,
    prove_unfollows,
    enrich,
    refresh,
    require_sound_list,
    finish_backfill,
    check_unionids,
    require_decision,
)
