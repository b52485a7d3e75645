"""Runs killed at a sample of their moments; `make kill-matrix` kills them at each."""

from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.kills.killer import Cell, kill_in


@pytest.mark.parametrize(
    ("road", "concurrency", "first", "every"),
    [("first", 8, 21, 18), ("unfollows", 1, 24, 18), ("upgrade", 1, 1, 1)],
)
def test_a_run_killed_at_any_moment_is_made_good_by_the_next(
    databases: Databases,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    road: str,
    concurrency: int,
    first: int,
    every: int,
) -> None:
    """What is left opens, and a rerun reaches the truth without asking for what is stored."""
    needs_server = databases.kind == "postgresql"
    server = request.getfixturevalue("postgresql_server") if needs_server else None
    cell = Cell(road, databases.kind, concurrency)

    figures = kill_in(cell, databases, server, tmp_path, every=every, first=first)

    assert figures.differences == []
    assert figures.hits > 0
