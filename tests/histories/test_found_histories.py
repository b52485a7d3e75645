"""Histories that failed once, each shrunk to what it is about.

`stage.py` checks after each run what no run may do, and `settle` that quiet runs reach the
truth; so most of these end without an assertion of their own.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from syncjob.job.sweep_rules import DEFAULT_RULES, SweepRules
from syncjob.model.sweeps import Allowance
from tests.conftest import Databases
from tests.histories.props import Database
from tests.histories.stage import History

pytestmark = pytest.mark.one_database

NOBODY = SweepRules(DEFAULT_RULES.max_drift, Allowance(0, 0), DEFAULT_RULES.max_age)


@pytest.fixture
def begin(databases: Databases) -> Iterator[Callable[..., History]]:
    """Begin a history whose runs all sweep."""
    database = Database(databases.make())
    begun: list[History] = []

    def start(
        followers: int,
        *,
        plan: dict[str, Any] | None = None,
        timeless: int = 0,
        **switches: Any,
    ) -> History:
        history = History(
            database,
            followers=followers,
            account={"seed": 1},
            switches={"page_size": 7, **switches},
            plan={"batch_size": 5, "sweep_every": timedelta(0), **(plan or {})},
            timeless=timeless,
            quiet="backfill",
        )
        begun.append(history)
        return history

    yield start
    for history in begun:
        history.close()
    database.close()


@pytest.mark.parametrize("listed", [True, False], ids=["listed again", "still hidden"])
def test_a_period_that_ended_while_parked_ended_after_the_sweep_that_had_them(
    begin: Callable[..., History], listed: bool
) -> None:
    """Sweeps that missed a parked follower, who has returned since, say nothing of following."""
    history = begin(4, plan={"rules": NOBODY})
    history.run()
    history.wait(1)
    history.do("leave", 0)
    for _ in range(2):
        history.wait(1)
        assert history.run() == "UnfollowsParked"
    history.wait(1)
    history.do("come_back", 0)
    if not listed:
        history.do("hide", 0)

    history.run(command="backfill")
    history.settle()


@pytest.mark.parametrize("lost", ["forget", "blank"])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_batch_with_somebody_missing_may_have_shifted_unionids(
    begin: Callable[..., History], lost: str, batch_size: int
) -> None:
    """Unionids of a batch that left somebody out, or has one too few, are not believed."""
    history = begin(5, plan={"batch_size": batch_size}, shift_after_lost=True)
    for k in (1, 3):
        history.do(lost, k)

    history.run()

    known = [row["unionid"] is not None for row in history.rows().values()]
    assert sum(known) >= 3
    history.settle()


def test_an_overtaken_run_that_would_start_a_sweep_is_lost(begin: Callable[..., History]) -> None:
    """A run that lost its row and meets another run's open sweep ends as lost, not as a bug."""
    for moment in range(5):
        history = begin(5)
        history.trouble("user/get", "-1", 0, 5)

        assert history.run([(moment, "overtake", 0)]) == "RunLost"

        history.settle()
        history.close()


def test_a_return_during_the_proof_lies_within_its_bounds(begin: Callable[..., History]) -> None:
    """A return between an answer and its storing lies after that answer."""
    for moment in range(30):
        history = begin(4, timeless=1)
        history.run()
        history.wait(1)
        history.do("leave_many", 0)
        history.run([(moment, "come_back", k) for k in range(2)])
        history.wait(1)
        history.run()
        history.settle()
        history.close()


@pytest.mark.parametrize(
    "plan",
    [{"command": "backfill"}, {"refresh_after": timedelta(0)}],
    ids=["backfill", "refresh"],
)
def test_whoever_is_parked_is_marked_by_nothing_else(
    begin: Callable[..., History], plan: dict[str, Any]
) -> None:
    """While unfollows are parked, enrichment and refresh leave these followers alone too."""
    history = begin(8, plan={"rules": NOBODY})
    history.run()
    history.wait(1)
    history.do("leave", 0)

    assert history.run(**plan) == "UnfollowsParked"

    assert len([row for row in history.rows().values() if row["subscribe"]]) == 8
    history.settle()


def test_a_return_that_the_proof_finds_ends_the_period_where_it_was_seen_last(
    begin: Callable[..., History],
) -> None:
    """A candidate who turns out to follow again was not seen by the sweep that missed them."""
    history = begin(4)
    history.run()
    history.wait(1)
    history.do("leave", 0)
    history.wait(1)
    history.trouble("user/info/batchget", "-1", 0, 60)
    assert history.run() == "WeChatUnavailable"
    history.simulator.faults.clear()
    history.wait(1)
    history.do("come_back", 0)

    history.run()
    history.settle()


def test_a_period_that_ended_unnoticed_ended_before_the_return(
    begin: Callable[..., History],
) -> None:
    """The sweep that had a candidate last may have had them after they came back."""
    history = begin(4)
    history.run()
    history.wait(1)
    history.do("leave", 0)
    history.wait(1)
    history.do("come_back", 0)
    history.wait(1)
    history.run()
    history.wait(1)
    history.do("hide", 0)

    history.run()
    history.settle()


def test_a_candidate_who_still_follows_is_stored_with_the_unionid(
    begin: Callable[..., History],
) -> None:
    """Asked about for the first time because the list lags: nobody is enriched by half."""
    history = begin(4)
    history.trouble("user/info/batchget", "45009", 0, 0)
    assert history.run() == "QuotaExhausted"
    history.wait(1)
    history.do("hide", 0)

    assert history.run() == "succeeded"

    assert all(row["unionid"] for row in history.rows().values())
    history.settle()


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_backfill_asks_about_candidates_who_are_listed_again(
    begin: Callable[..., History], concurrency: int
) -> None:
    """Parked when their page comes, and not any more when the sweep is sealed: asked about then."""
    history = begin(8, plan={"rules": NOBODY, "concurrency": concurrency})
    history.run()
    history.wait(1)
    history.do("hide", 0)
    assert history.run() == "UnfollowsParked"
    history.wait(1)
    history.do("show", 0)
    before = history.clock.utc()

    assert history.run(command="backfill") == "succeeded"

    assert all(row["enriched_at"] > before for row in history.rows().values())
    history.settle()


@pytest.mark.parametrize("concurrency", [1, 8])
def test_an_answer_moves_an_end_that_stood_on_refusals(
    begin: Callable[..., History], concurrency: int
) -> None:
    """Ended as refused while they still followed; they leave later, and WeChat says so then."""
    history = begin(8, plan={"concurrency": concurrency, "sweep_every": timedelta(0)})
    history.run()
    history.do("vanish", 4)
    for wait in (1, 4, 4, 4):
        history.wait(wait)
        history.run()
    [ended] = [row for row in history.rows().values() if not row["subscribe"]]
    assert ended["unsubscribe_reason"] == "refused"

    history.do("cure", 4)
    history.do("linger", 4)
    history.do("leave", 4)
    history.wait(1)
    history.run()

    [answered] = [row for row in history.rows().values() if not row["subscribe"]]
    assert answered["unsubscribe_reason"] == "answered"
    assert answered["unfollowed_before"] > ended["unfollowed_before"]
    history.settle()
