"""A clock that is set back or forward by a day: tokens, heartbeats, sweeps and quotas survive."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from syncjob.database.column_types import UTCDateTime
from syncjob.database.engine import open_engine, writing
from syncjob.database.tables import metadata
from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth

Query = Callable[..., list[Any]]
DAY = timedelta(days=1)


def set_clock(url: str, by: timedelta) -> None:
    """Move the stored instants of our clocks the other way: as if the database's had been set."""
    engine = open_engine(url)
    with writing(engine) as connection:
        for table in metadata.sorted_tables:
            instants = [c for c in table.columns if isinstance(c.type, UTCDateTime)]
            for row in connection.execute(select(table)).mappings().all() if instants else ():
                of_wechat = row.get("subscribe_time")
                moved = {
                    c.name: row[c.name] - by
                    for c in instants
                    if row[c.name] not in (None, of_wechat)
                }
                if not moved:
                    continue
                mine = [c == row[c.name] for c in table.primary_key.columns]
                connection.execute(update(table).where(*mine).values(moved))
    engine.dispose()


@pytest.mark.parametrize("by", [DAY, -DAY], ids=["forward", "back"])
def test_a_clock_that_is_set_stops_no_run_and_spoils_nothing(
    world: Callable[..., World], database_url: str, query: Query, by: timedelta
) -> None:
    """In the middle of a sweep, with a token that is kept and a run that died elsewhere."""
    wechat = world(250, page_size=100)
    wechat.simulator.faults.add("user/get=-1@3-")
    assert wechat.run("sync") == 75
    assert query("SELECT status, pages FROM sweeps") == [("open", 2)]
    wechat.simulator.faults.clear()
    query("UPDATE runs SET status = 'running', finished_at = NULL, holder = 'elsewhere pid=1'")

    set_clock(database_url, by)
    wechat.account.follow(5)
    assert wechat.run("sync") == 0

    assert query("SELECT status, message FROM runs ORDER BY id") == [
        ("abandoned", "it gave no heartbeat any more"),
        ("succeeded", None),
    ]
    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("sealed",)]
    assert_equals_truth(database_url, wechat.simulator)


@pytest.mark.parametrize("by", [DAY, -DAY], ids=["forward", "back"])
def test_who_comes_and_goes_after_a_clock_was_set_has_bounds_in_their_order(
    world: Callable[..., World], database_url: str, query: Query, by: timedelta
) -> None:
    """A sweep from tomorrow says nothing of today."""
    wechat = world(250, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    set_clock(database_url, by)
    for index in range(3):
        wechat.account.unfollow(wechat.account.openid(index))
    wechat.account.follow(5)
    wechat.simulator.kill_tokens()
    assert wechat.run("sync") == 0

    following = {openid for (openid,) in query("SELECT openid FROM current_followers")}
    assert following == set(wechat.account.openids())
    assert query("SELECT count(*) FROM followers WHERE NOT subscribe") == [(3,)]
    assert query(
        "SELECT openid FROM follow_periods WHERE followed_after > followed_before "
        "OR unfollowed_after > unfollowed_before OR followed_after > unfollowed_before"
    ) == []  # fmt: skip


def test_who_was_parked_before_a_clock_was_set_back_has_bounds_in_their_order(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """When they were last known to follow is not known any more."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    for index in range(150):
        wechat.account.unfollow(wechat.account.openid(index))
    assert wechat.run("sync") == 6
    set_clock(database_url, -DAY)
    assert wechat.run("unfollows", "approve") == 0
    wechat.set(SYNCJOB_SWEEP_EVERY="1000d")
    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM followers WHERE NOT subscribe") == [(150,)]
    assert query("SELECT openid FROM followers WHERE unfollowed_after > unfollowed_before") == []
