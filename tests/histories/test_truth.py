"""What histories are held to: the check lets through what nobody can know, and no more."""

from datetime import UTC, datetime
from typing import Any

import pytest

from syncjob.simulator import Account
from tests.histories.truth import Lags, check_periods

LEFT = 1_760_000_264.0
SEEN = LEFT - 12
LISTED, REFUSED = LEFT + 70_000, LEFT + 190_000


def refused_period() -> dict[str, Any]:
    """A period that began at an unknown time, and that refusals ended."""
    instants = {"followed_before": SEEN, "unfollowed_after": LISTED, "unfollowed_before": REFUSED}
    return {
        "followed_after": None,
        "unsubscribe_reason": "refused",
        **{name: datetime.fromtimestamp(at, UTC) for name, at in instants.items()},
    }


def absent(account: Account, *, back: bool) -> str:
    """Have a follower leave, and at once come back; return the OpenID."""
    openid = account.openid(0)
    account.clock = lambda: LEFT
    account.unfollow(openid)
    if back:
        account.refollow(openid)
    return openid


def test_a_refused_follower_may_have_been_away_for_a_moment() -> None:
    """Between two sweeps: they are in a later period, and WeChat says nothing of them."""
    account = Account(3, 1)
    openid = absent(account, back=True)
    check_periods(openid, [refused_period()], account, Lags({openid: [SEEN, LISTED]}))


def test_a_refused_follower_who_is_gone_may_not_be_kept_too_long() -> None:
    """A period that was over before it is said to have gone on is a fault."""
    account = Account(3, 1)
    openid = absent(account, back=False)
    with pytest.raises(AssertionError, match="neither there nor gone within the bounds"):
        check_periods(openid, [refused_period()], account, Lags({openid: [SEEN]}))
