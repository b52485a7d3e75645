"""Twenty random histories on each kind of database; `make soak` plays as many as one likes."""

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Databases
from tests.histories.machine import Histories
from tests.histories.stage import Database

# The parts can run side by side: calls at a time, and how many histories.
PARTS = ((1, 10), (8, 6), (32, 4))
STEADY = settings(
    derandomize=True,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_whatever_happens_the_tables_come_to_equal_the_truth(
    databases: Databases, part: int
) -> None:
    """Nobody is ever wrongly marked as gone, and two quiet runs make the tables equal the truth."""
    database = Database(databases.make())
    concurrency, histories = PARTS[part]

    @seed(part)
    class Part(Histories):
        """The histories of this part."""

    Part.database = database
    Part.concurrency = concurrency
    # What cannot be repeated cannot be shrunk.
    phases = (Phase.generate, Phase.shrink) if concurrency == 1 else (Phase.generate,)
    steady = settings(STEADY, max_examples=histories, phases=phases)
    try:
        run_state_machine_as_test(Part, settings=steady)
    finally:
        database.close()
    assert database.figures["unfollows"] > 0
