"""Broken answers of every endpoint: some thousands here, as many as you like with `make fuzz`."""

import pytest

from tests.wechat.fuzz import ENDPOINTS, fuzz


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_broken_answer_is_read_or_refused(endpoint: str) -> None:
    """No foreign error, nothing slow or large, and nothing that cannot be stored comes of any."""
    figures = fuzz(endpoint, answers=2000, seed=1)
    assert not figures.failure, figures.failure
    assert figures.read > 100  # some are still answers
    assert figures.refused > 100
