"""Since when somebody follows: bounds that hold, return visits, and the views made of them."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncjob.database.store import Store, open_store
from syncjob.model.accounts import Account
from syncjob.model.answers import Answers
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Run, Traffic
from syncjob.model.sweeps import Allowance
from syncjob.model.user_info import UserInfo

pytestmark = pytest.mark.pooled

Query = Callable[..., list[Any]]
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NO_GUARD = Allowance(10**9, 0)


class Story:
    """The store of one account, told step by step, on a clock that the test sets."""

    def __init__(self, url: str) -> None:
        self.now = START
        self.store: Store = open_store(url, clock=lambda: self.now)
        self.account: Account = self.store.accounts.save("wx1")
        self.run: Run = self.store.runs.start(
            self.account.id, "sync", holder="", abandon_after=timedelta(days=999)
        )

    def at(self, hours: float) -> "Story":
        """Set the clock to so many hours after the start."""
        self.now = START + hours * HOUR
        return self

    def sweep(self, *openids: str) -> None:
        """Store a whole list, and seal the sweep."""
        sweep = self.store.sweeps.start(self.run.id, self.account.id)
        page = FollowerPage(openids, "", len(openids))
        sweep = self.store.sweeps.save_page(self.run.id, sweep, page, Traffic()).sweep
        self.store.sweeps.seal(self.run.id, sweep, NO_GUARD)

    def answer(self, openid: str, subscribe_time: datetime | None = None, **fields: Any) -> None:
        """WeChat says that they follow."""
        seconds = None if subscribe_time is None else int(subscribe_time.timestamp())
        info = UserInfo(openid, 1, subscribe_time=seconds, **fields)
        self.store.followers.save_answers(
            self.run.id, self.account.id, Answers(following=[info]), Traffic()
        )

    def gone(self, openid: str) -> None:
        """WeChat says that a candidate does not follow."""
        self.store.unfollows.save_proofs(
            self.run.id, self.account.id, Answers(gone=[openid]), Traffic()
        )

    def undecided(self, openid: str) -> None:
        """WeChat says nothing of a candidate."""
        self.store.unfollows.save_proofs(
            self.run.id, self.account.id, Answers(missing=[openid]), Traffic()
        )


def hours(moment: Any) -> float | None:
    """A stored instant as hours after the start."""
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - START) / HOUR


@pytest.fixture
def story(database_url: str) -> Iterator[Story]:
    """A fresh account."""
    output = Story(database_url)
    yield output
    output.store.close()


@pytest.fixture
def periods(query: Query) -> Callable[[str], list[tuple[float | None, ...]]]:
    """The follow periods of an OpenID, as hours: followed after and before, unfollowed likewise."""

    def read(openid: str) -> list[tuple[float | None, ...]]:
        rows = query(
            "SELECT followed_after, followed_before, unfollowed_after, unfollowed_before "
            "FROM follow_periods WHERE openid = :o ORDER BY followed_before",
            o=openid,
        )
        return [tuple(hours(value) for value in row) for row in rows]

    return read


Periods = Callable[[str], list[tuple[float | None, ...]]]


def test_wechats_own_word_is_exact(story: Story, periods: Periods) -> None:
    """subscribe_time is both bounds of the follow."""
    story.at(1).sweep("oA")
    story.at(2).answer("oA", START - 5 * HOUR)
    assert periods("oA") == [(-5, -5, None, None)]


def test_without_it_the_sweeps_bound_the_follow(story: Story, periods: Periods) -> None:
    """After the last sweep that did not list them (if there was one), before the first that did."""
    story.at(1).sweep("oA")
    story.at(3).sweep("oA", "oB")
    assert periods("oA") == [(None, 1, None, None)]
    assert periods("oB") == [(1, 3, None, None)]


def test_an_unfollow_lies_between_two_looks(story: Story, periods: Periods) -> None:
    """After the last sweep that had them, before WeChat said so."""
    story.at(1).sweep("oA", "oB")
    story.at(2).sweep("oA", "oB")
    story.at(4).sweep("oB")
    story.at(5).gone("oA")
    assert periods("oA") == [(None, 1, 2, 5)]


def test_a_sweep_that_could_not_decide_is_no_sighting(story: Story, periods: Periods) -> None:
    """Missing from two sweeps, asked in vain after the first: the bound is the one before both."""
    story.at(1).sweep("oA", "oB")
    story.at(2).sweep("oA", "oB")
    story.at(3).sweep("oB")
    story.at(4).undecided("oA")
    story.at(5).sweep("oB")
    story.at(6).gone("oA")
    assert periods("oA") == [(None, 1, 2, 6)]


def test_a_list_that_lagged_is_a_sighting_once_wechat_says_so(
    story: Story, periods: Periods
) -> None:
    """Missing from a sweep but `subscribe: 1` when asked: they still followed after it."""
    story.at(1).sweep("oA", "oB")
    story.at(3).sweep("oB")
    info = UserInfo("oA", 1)
    story.store.unfollows.save_proofs(
        story.run.id, story.account.id, Answers(following=[info]), Traffic()
    )
    story.at(5).sweep("oB")
    story.at(6).gone("oA")
    assert periods("oA") == [(None, 1, 3, 6)]


def test_an_unfollow_is_not_before_the_follow(story: Story, periods: Periods) -> None:
    """A follow after the last sweep that could have listed it: the end lies after the follow."""
    story.at(1).sweep("oB")
    story.at(3).sweep("oA", "oB")
    story.at(4).answer("oA", START + 2 * HOUR)
    story.at(5).sweep("oB")
    story.at(6).gone("oA")
    assert periods("oA") == [(2, 2, 3, 6)]


def test_a_return_opens_another_period(story: Story, periods: Periods, query: Query) -> None:
    """Listed again and confirmed: the old period is kept, a new one begins; first_seen_at stays."""
    story.at(1).sweep("oA", "oB")
    story.at(1).answer("oA", START)
    story.at(2).sweep("oB")
    story.at(3).gone("oA")
    story.at(5).sweep("oA", "oB")
    story.at(6).answer("oA", START + 4 * HOUR)
    assert periods("oA") == [(0, 0, 1, 3), (4, 4, None, None)]
    ((first_seen_at, subscribe, unsubscribed_at),) = query(
        "SELECT first_seen_at, subscribe, unsubscribed_at FROM followers WHERE openid = 'oA'"
    )
    assert (hours(first_seen_at), bool(subscribe), unsubscribed_at) == (1, True, None)


def test_a_return_without_a_time_is_bounded_by_what_was_known(
    story: Story, periods: Periods
) -> None:
    """A return whose subscribe_time WeChat does not tell came after that unfollow could have."""
    story.at(1).sweep("oA", "oB")
    story.at(2).sweep("oB")
    story.at(3).gone("oA")
    story.at(5).sweep("oA", "oB")
    story.at(6).answer("oA")
    assert periods("oA") == [(None, 1, 1, 3), (1, 6, None, None)]


def test_a_listing_that_wechat_denies_is_no_return(
    story: Story, periods: Periods, query: Query
) -> None:
    """A list that still has one who left opens no period, and the time of the unfollow stays."""
    story.at(1).sweep("oA", "oB")
    story.at(2).sweep("oB")
    story.at(3).gone("oA")
    story.at(5).sweep("oA", "oB")
    story.store.followers.save_answers(
        story.run.id, story.account.id, Answers(gone=["oA"]), Traffic()
    )
    assert periods("oA") == [(None, 1, 1, 3)]
    ((subscribe, unsubscribed_at),) = query(
        "SELECT subscribe, unsubscribed_at FROM followers WHERE openid = 'oA'"
    )
    assert (bool(subscribe), hours(unsubscribed_at)) == (False, 3)


def test_an_unfollow_that_wechat_takes_back_never_was(story: Story, periods: Periods) -> None:
    """Follows again since the old subscribe_time: they had never left, the period goes on."""
    story.at(1).sweep("oA", "oB")
    story.at(1).answer("oA", START)
    story.at(2).sweep("oB")
    story.at(3).gone("oA")
    story.at(5).sweep("oA", "oB")
    story.at(6).answer("oA", START)
    assert periods("oA") == [(0, 0, None, None)]


def test_a_return_between_two_looks_is_told_by_its_time(story: Story, periods: Periods) -> None:
    """A later subscribe_time of one who was never missed means that they left and came back."""
    story.at(1).sweep("oA")
    story.at(1).answer("oA", START)
    story.at(2).sweep("oA")
    story.at(5).sweep("oA")
    story.at(6).answer("oA", START + 4 * HOUR)
    assert periods("oA") == [(0, 0, 2, 4), (4, 4, None, None)]


def test_the_count_of_a_day_is_a_range_where_the_bounds_leave_one(story: Story) -> None:
    """Certain followers are the lower bound, possible ones the upper."""
    story.at(1).sweep("oA", "oB", "oC")
    story.answer("oA", START - 5 * HOUR)
    story.answer("oB", START - 5 * HOUR)
    story.at(6).sweep("oA", "oC", "oD")
    story.gone("oB")

    def count(hour: float) -> tuple[int, int | None]:
        found = story.store.reports.count_at(story.account.id, START + hour * HOUR)
        return found.at_least, found.at_most

    # Before the first sweep was sealed others may have followed, who left.
    assert count(-6) == (0, None)
    assert count(0) == (2, None)  # A and B did
    assert count(3) == (2, 4)  # B may have left, D may have come
    assert count(6) == (3, 3)


def test_status_at_a_day(
    story: Story,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`status --at` says how many followed at the end of that day in China."""
    from syncjob.cli.main import run

    monkeypatch.setenv("SYNCJOB_DATABASE_URL", database_url)
    story.at(1).sweep("oA", "oB")
    story.answer("oA", datetime(2025, 10, 31, 15, 59, tzinfo=UTC))
    story.answer("oB", datetime(2025, 10, 31, 16, 1, tzinfo=UTC))
    story.store.close()
    assert run(["status", "--at", "2025-10-31"]) == 0
    assert capsys.readouterr().out.startswith("2025-10-31: at least 1 followed; who left before ")
    for day, most in (("2025-11-01", None), ("2026-11-02", 2)):
        assert run(["status", "--at", day, "--json"]) == 0
        output = json.loads(capsys.readouterr().out)
        assert (output["date"], output["at_least"], output["at_most"]) == (day, 2, most)
    assert run(["status", "--at", "2999-01-01"]) == 2
    assert "has not come yet" in capsys.readouterr().err


def test_the_days_add_up(story: Story, query: Query) -> None:
    """daily_follower_changes counts by days in China, and its total is who follows."""
    story.at(1).sweep("oA", "oB", "oC")
    for openid in ("oA", "oB", "oC"):
        story.answer(openid, START)  # 20:00 in China
    story.at(5).sweep("oA", "oD")  # after midnight there
    for openid in ("oB", "oC"):
        story.gone(openid)
    rows = query(
        "SELECT date, followed, unfollowed, net, total FROM daily_follower_changes ORDER BY 1"
    )
    assert [(str(day), *counts) for day, *counts in rows] == [
        ("2026-11-01", 3, 0, 3, 3),
        ("2026-11-02", 1, 2, -1, 2),
    ]
    assert query("SELECT appid, openid FROM current_followers ORDER BY openid") == [
        ("wx1", "oA"),
        ("wx1", "oD"),
    ]


# --- what changes, and what does not ------------------------------------------------------


def test_changed_at_moves_only_when_a_value_moves(story: Story, query: Query) -> None:
    """The same answer again moves enriched_at alone; another remark moves changed_at too."""
    story.at(1).sweep("oA")

    def stamps() -> tuple[float | None, ...]:
        return tuple(
            hours(value) for value in query("SELECT enriched_at, changed_at FROM followers")[0]
        )

    profile: dict[str, Any] = {"remark": "a", "tagid_list": [1, 2], "extra": {"new": [1, "x"]}}
    story.at(2).answer("oA", START, **profile)
    assert stamps() == (2, 2)
    story.at(3).answer("oA", START, **profile)
    assert stamps() == (3, 2)
    story.at(4).answer("oA", START, nickname="", sex=0)
    assert stamps() == (4, 4), "an empty nickname where there was none"
    story.at(5).answer("oA", START, **{**profile, "tagid_list": []})
    assert stamps() == (5, 5)


def test_stale_profiles_are_due_oldest_first(story: Story) -> None:
    """get_stale returns whose profile is older than the setting, the oldest first, so many."""
    story.at(0).sweep("oA", "oB", "oC", "oD")
    for hour, openid in enumerate(("oC", "oA", "oB")):
        story.at(hour).answer(openid)
    story.at(10)

    def stale(after: float, limit: int = 10) -> list[str]:
        found, last = [], None
        while page := story.store.followers.get_stale(
            story.account.id, refresh_after=after * HOUR, behind=last, limit=1
        ):
            last = page[-1]
            found += [openid for openid, _ in page]
        first = story.store.followers.get_stale(
            story.account.id, refresh_after=after * HOUR, behind=None, limit=limit
        )
        assert [openid for openid, _ in first] == found[:limit], "page by page, or at once"
        return found[:limit]

    assert stale(1) == ["oC", "oA", "oB"]
    assert stale(1, limit=2) == ["oC", "oA"]
    assert stale(8.5) == ["oC", "oA"]
    assert stale(24) == []
