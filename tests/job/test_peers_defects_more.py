"""More defects that were read in the code of other follower syncs: details, cursors, batches.

Every test is named after the project whose way of doing it would fail it.
"""

from collections.abc import Callable

import pytest

from syncjob.simulator import Request
from tests.conftest import World
from tests.job.test_peers_defects import Query, list_calls, subscribed, synced
from tests.job.test_sync_job import assert_equals_truth, rows

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize("profiles", ["today", "docs"])
def test_jeewx_empty_nicknames_are_not_fetched_for_ever(
    world: Callable[..., World], profiles: str
) -> None:
    """A follower without a nickname, as all are since 2021, is enriched once, not every run."""
    wechat = synced(world(250, profiles=profiles))
    assert wechat.simulator.count("user/info/batchget") == 3

    for _ in range(3):
        assert wechat.run("sync") == 0

    assert wechat.simulator.count("user/info/batchget") == 3


def test_jeewx_answers_are_matched_by_openid(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """With an entry missing, one twice and the others shuffled everybody gets their own profile."""
    wechat = world(100, profiles="full", shuffle=True, repeat_user=True)
    lost = wechat.account.openid(0)
    wechat.account.forget(lost)

    assert wechat.run("sync") == 0

    found = rows(database_url)
    assert found[lost]["nickname"] is None
    for openid in set(found) - {lost}:
        assert found[openid]["headimgurl"] == wechat.account.user(openid)["headimgurl"]
        assert found[openid]["unionid"] == wechat.account.user(openid)["unionid"]


def test_wechat_django_a_finished_list_is_read_anew(
    world: Callable[..., World], query: Query
) -> None:
    """A follower before an old cursor is found, and one who left behind it is marked as gone."""
    wechat = synced(world(300, page_size=100))
    cursor = query("SELECT next_openid FROM sweeps")[0][0]
    calls = wechat.simulator.count("user/get")
    wechat.account.follow(50)
    everybody = list(wechat.account.openids())
    assert everybody.index(cursor) > 200, "nearly all new ones stand in front of the old cursor"
    wechat.account.unfollow(everybody[10])
    wechat.account.unfollow(everybody[-1])

    assert wechat.run("sync") == 0

    assert list_calls(wechat, calls)[0] is None
    assert subscribed(query) == set(wechat.account.openids())


def test_wechat_django_the_cursor_never_runs_ahead_of_the_rows(
    world: Callable[..., World], query: Query
) -> None:
    """Whenever somebody looks, the cursor is that of the last page whose rows are there."""
    wechat = world(450, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY="1")
    everybody = list(wechat.account.openids())
    seen = []

    def look(request: Request) -> None:
        if request.params.get("next_openid"):
            ((cursor,),) = query("SELECT next_openid FROM sweeps")
            stored = subscribed(query)
            seen.append(len(stored))
            assert stored == set(everybody[: everybody.index(cursor) + 1])

    wechat.simulator.on_request = look
    assert wechat.run("sync") == 0

    assert seen == [100, 200, 300, 400, 450]


def test_wxcms_the_last_row_of_the_table_is_no_cursor(
    world: Callable[..., World], database_url: str
) -> None:
    """Rows in the table, the last of them gone from WeChat, cost no new follower, be they many."""
    wechat = synced(world(60, page_size=50))
    last = max(rows(database_url))
    wechat.account.unfollow(last)
    wechat.simulator.switches.unfollowed_cursor = "40003"
    new = wechat.account.follow(40)

    assert wechat.run("sync") == 0

    found = rows(database_url)
    assert all(found[openid]["subscribe"] for openid in new)
    assert not found[last]["subscribe"]


def test_ni_hong_a_page_is_not_a_batch(world: Callable[..., World], database_url: str) -> None:
    """A page of thousands is asked about in hundreds, since 101 OpenIDs are refused."""
    wechat = world(1250)

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    sizes = [len(request.openids) for request in wechat.simulator.requests if request.openids]
    assert sorted(sizes) == [50] + [100] * 12
    assert wechat.simulator.count("user/get") == 2


def test_ni_hong_an_interrupted_list_is_gone_on_with(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """With a quota of four pages a day a list of nine is complete on the third day."""
    wechat = world(900, page_size=100)
    for day in range(3):
        wechat.simulator.faults.clear()
        wechat.simulator.faults.add(f"user/get=45009@{5 * day + 5}-")

        assert wechat.run("sync") == (75 if day < 2 else 0)

    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT status, pages FROM sweeps") == [("sealed", 9)]
    asked = list_calls(wechat)
    assert asked.count(None) == 1
