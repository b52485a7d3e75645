"""The past before the first complete sweep: nobody knows who left then, and nothing says so."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from syncjob.model.quota import CHINA
from tests.conftest import World

Query = Callable[..., list[Any]]
Told = Callable[..., dict[str, Any]]


@pytest.fixture
def count(capsys: pytest.CaptureFixture[str]) -> Told:
    """What `status --at` says of a day, as JSON."""

    def ask(wechat: World, day: str) -> dict[str, Any]:
        capsys.readouterr()
        assert wechat.run("status", "--json", "--at", day) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


def today() -> str:
    """Today in China."""
    return datetime.now(CHINA).date().isoformat()


def test_before_the_first_sealed_sweep_the_count_is_a_least(
    world: Callable[..., World], query: Query, count: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day before it has no `at_most`, and the words say since when the record is complete."""
    wechat = world(300, page_size=100)
    assert wechat.run("sync") == 0
    past, now = count(wechat, "2019-06-30"), count(wechat, today())
    assert past["at_least"] > 0
    assert past["at_most"] is None
    assert (now["at_least"], now["at_most"]) == (300, 300)
    ((since,),) = query("SELECT finished_at FROM sweeps")
    assert (
        past["complete_since"][:16]
        == now["complete_since"][:16]
        == str(since)[:16].replace(" ", "T")
    )
    assert wechat.run("status", "--at", "2019-06-30") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"2019-06-30: at least {past['at_least']:,} followed; who left before ")
    assert f"{str(since)[:16]} UTC" in said


def test_while_no_sweep_is_sealed_nothing_is_complete(
    world: Callable[..., World], query: Query, count: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first run, and after runs that ended within the list."""
    wechat = world(300, page_size=100)
    assert count(wechat, today()) == {
        "date": today(),
        "at_least": 0,
        "at_most": None,
        "complete_since": None,
    }
    assert wechat.run("sync", "--max-pages", "1") == 0
    found = count(wechat, today())
    assert (found["at_least"], found["at_most"], found["complete_since"]) == (100, None, None)
    assert wechat.run("status", "--at", today()) == 0
    assert "at least 100 followed; no sweep is complete yet" in capsys.readouterr().out
    assert query("SELECT count(*) FROM daily_follower_changes WHERE complete") == [(0,)]


def test_a_sweep_of_several_runs_counts_from_its_end(
    world: Callable[..., World], query: Query, count: Told
) -> None:
    """A follower who left before their page was read is unknown, whenever the sweep began."""
    wechat = world(300, page_size=100)
    assert wechat.run("sync", "--max-pages", "1") == 0
    query("UPDATE sweeps SET started_at = '2026-01-01 00:00:00'")
    wechat.set(SYNCJOB_SWEEP_MAX_AGE="9999d")
    assert wechat.run("sync") == 0
    assert query("SELECT status FROM sweeps") == [("sealed",)]
    assert count(wechat, "2026-01-02")["at_most"] is None
    assert count(wechat, today())["at_most"] == 300


def test_the_views_say_from_which_day_on_they_are_complete(
    world: Callable[..., World], query: Query
) -> None:
    """Days after the one on which the first sweep was sealed are; a backfill changes nothing."""
    wechat = world(100)
    assert wechat.run("sync") == 0
    query("UPDATE sweeps SET started_at = :at, finished_at = :at", at="2026-03-01 12:00:00")
    assert wechat.run("backfill") == 0
    assert query("SELECT status FROM sweeps ORDER BY id") == [("sealed",), ("sealed",)]
    for day, complete in (("2026-02-28", False), ("2026-03-01", False), ("2026-03-02", True)):
        query(
            "UPDATE followers SET followed_before = :at",
            at=f"{day} 04:00:00",
        )
        found = query("SELECT date, complete FROM daily_follower_changes")
        assert [(str(date), bool(is_complete)) for date, is_complete in found] == [(day, complete)]
    ((appid, since),) = query("SELECT appid, complete_since FROM account_history")
    assert (appid, str(since)[:16]) == (wechat.simulator.appid, "2026-03-01 12:00")


def test_each_account_of_a_database_has_its_own_beginning(
    world: Callable[..., World], serve: Callable[..., World], query: Query, count: Told
) -> None:
    """One that has swept says nothing of the one beside it."""
    first = world(30)
    assert first.run("sync") == 0
    query("INSERT INTO accounts (appid) VALUES ('wxother')")
    assert dict(query("SELECT appid, complete_since IS NULL FROM account_history")) == {
        first.simulator.appid: False,
        "wxother": True,
    }
    first.set(SYNCJOB_APPID="wxother")
    assert count(first, today())["at_most"] is None
    first.set(SYNCJOB_APPID=first.simulator.appid)
    assert count(first, today())["at_most"] == 30


def test_a_first_sweep_from_the_future_does_not_hide_the_next_one(
    world: Callable[..., World], query: Query, count: Told
) -> None:
    """A clock that was set back since: the earliest end of a sealed sweep is what counts."""
    wechat = world(30)
    assert wechat.run("sync") == 0
    later = datetime.now(CHINA).replace(tzinfo=None) + timedelta(days=30)
    query("UPDATE sweeps SET started_at = :at, finished_at = :at", at=str(later))
    assert count(wechat, today())["at_most"] is None
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    assert count(wechat, today())["at_most"] == 30
