"""Profiles that can be trusted: unionids that never shift, poison found, fields never lost."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from syncjob.model.pseudonyms import Pseudonyms
from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth

pytestmark = [pytest.mark.pooled, pytest.mark.one_database]

Query = Callable[..., list[Any]]


def unionids(query: Query) -> dict[str, str]:
    """The stored unionids."""
    return dict(query("SELECT openid, unionid FROM followers WHERE unionid IS NOT NULL"))


def test_a_batch_that_shifts_unionids_lets_none_in(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """One who is nobody shifts the unionids of the whole batch: not one of them is stored."""
    wechat = world(50, unionid_shift=True)
    stranger = wechat.account.stranger()
    wechat.run("migrate")
    query("INSERT INTO accounts (appid) VALUES (:a)", a=wechat.simulator.appid)
    query("INSERT INTO followers (account_id, openid) SELECT id, :o FROM accounts", o=stranger)

    assert wechat.run("sync") == 0

    truth = {o: wechat.account.user(o)["unionid"] for o in wechat.account.openids()}
    assert unionids(query) == truth


def test_a_changed_unionid_that_user_info_denies_is_quarantined(
    world: Callable[..., World], query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored unionid stays, and the row is put aside with the hashes of both values."""
    wechat = world(5)
    wechat.set(SYNCJOB_REFRESH_AFTER="1s")
    wechat.run("sync")
    openid = wechat.account.openid(2)
    truth = str(wechat.account.user(openid)["unionid"])
    query("UPDATE followers SET unionid = 'oELSE' WHERE openid = :o", o=openid)
    query("UPDATE followers SET enriched_at = '2020-01-01 00:00:00'")
    seen = {"n": 0}

    def contradict(request: Any) -> None:
        if request.endpoint == "user/info":
            seen["n"] += 1
            wechat.account.override(openid, unionid="oTHIRD")

    wechat.simulator.on_request = contradict
    assert wechat.run("sync") == 0

    assert seen["n"] == 1
    assert query("SELECT unionid FROM followers WHERE openid = :o", o=openid) == [("oELSE",)]
    ((reason,),) = query("SELECT reason FROM quarantine WHERE openid = :o", o=openid)
    ((key,),) = query("SELECT hash_key FROM accounts")
    assert Pseudonyms(key).name("oELSE") in reason
    assert Pseudonyms(key).name(truth) in reason
    assert "oELSE" not in reason


def test_a_changed_unionid_that_user_info_confirms_is_written(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """An account may be bound to another platform: what both endpoints say is stored."""
    wechat = world(5)
    wechat.run("sync")
    query("UPDATE followers SET unionid = 'oOLD', enriched_at = NULL")

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_unionid_of_two_openids_is_asked_about(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """A stored unionid that another OpenID now has is settled by user/info, for both of them."""
    wechat = world(5)
    wechat.run("sync")
    mine, other = wechat.account.openid(1), wechat.account.openid(3)
    query(
        "UPDATE followers SET unionid = (SELECT unionid FROM followers WHERE openid = :m) "
        "WHERE openid = :o",
        m=mine,
        o=other,
    )
    query("UPDATE followers SET unionid = NULL, enriched_at = NULL WHERE openid = :m", m=mine)

    assert wechat.run("sync") == 0

    assert wechat.simulator.count("user/info") == 2
    assert_equals_truth(database_url, wechat.simulator)


def test_one_unionid_under_two_openids_that_wechat_confirms_is_stored(
    world: Callable[..., World], query: Query
) -> None:
    """What user/info says of each is stored, even if it is the same."""
    wechat = world(5)
    for n in (1, 3):
        wechat.account.override(wechat.account.openid(n), unionid="oSAME")

    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM followers WHERE unionid = 'oSAME'") == [(2,)]
    assert wechat.simulator.count("user/info") == 2


@pytest.mark.parametrize("position", range(0, 100, 9))
def test_a_poisoned_openid_is_found_with_few_calls(
    serve: Callable[..., World], sqlite_url: str, sqlite_query: Query, position: int
) -> None:
    """One bad OpenID among 100 costs at most 2·log2(100) = 13 extra calls, wherever it stands."""
    wechat = serve(100)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    openid = sorted(wechat.account.openids())[position]
    wechat.account.poison(openid)

    assert wechat.run("sync") == 0

    assert wechat.simulator.count("user/info/batchget") <= 1 + 13
    assert sqlite_query("SELECT openid FROM quarantine") == [(openid,)]
    assert sqlite_query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL") == [(99,)]


def test_a_user_whose_text_garbles_the_batch_does_not_cost_the_others(
    world: Callable[..., World], query: Query
) -> None:
    """An answer that no JSON parser reads is hunted down like any other poison."""
    wechat = world(100)
    openid = wechat.account.openid(31)
    wechat.account.garble(openid)

    assert wechat.run("sync") == 0

    assert query("SELECT openid, errcode FROM quarantine") == [(openid, None)]
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL") == [(99,)]


def test_when_every_answer_is_garbled_nobody_is_blamed(
    world: Callable[..., World], query: Query
) -> None:
    """If WeChat garbles everything the run ends with 75 and quarantines none."""
    wechat = world(100)
    wechat.simulator.faults.add("user/info/batchget=cut")

    assert wechat.run("sync") == 75

    assert query("SELECT count(*) FROM quarantine") == [(0,)]
    assert wechat.simulator.count("user/info/batchget") < 60


def test_a_quarantined_openid_is_tried_again_later_and_later(
    world: Callable[..., World], query: Query
) -> None:
    """After an hour, a day, a week; status counts it."""
    wechat = world(3)
    wechat.account.poison(wechat.account.openid(0))
    for attempts in (1, 2, 3):
        assert wechat.run("sync") == 0
        assert query("SELECT attempts FROM quarantine") == [(attempts,)]
        query("UPDATE quarantine SET next_try_at = first_failed_at")


def test_fields_of_a_later_wechat_are_kept(world: Callable[..., World], query: Query) -> None:
    """What this version has no column for lands in extra, cleaned like all texts."""
    wechat = world(2)
    openid = wechat.account.openid(0)
    wechat.account.override(openid, star_sign={"zh": "天秤座\0", "degrees": [1, 2.5, None]})

    assert wechat.run("sync") == 0

    ((extra,),) = query("SELECT extra FROM followers WHERE openid = :o", o=openid)
    extra = json.loads(extra) if isinstance(extra, str) else extra
    assert extra == {"star_sign": {"zh": "天秤座", "degrees": [1, 2.5, None]}}
    assert query("SELECT count(*) FROM followers WHERE extra IS NULL") == [(1,)]


def test_profiles_are_refreshed_so_many_a_run(world: Callable[..., World], query: Query) -> None:
    """SYNCJOB_REFRESH_AFTER makes old profiles due again, SYNCJOB_REFRESH_LIMIT of them a run."""
    wechat = world(30)
    wechat.set(SYNCJOB_REFRESH_AFTER="30d", SYNCJOB_REFRESH_LIMIT="20")
    wechat.run("sync")
    query("UPDATE followers SET enriched_at = '2020-01-01 00:00:00'")
    for openid in wechat.account.openids():
        wechat.account.override(openid, remark="new")

    for refreshed in (20, 30, 30):
        assert wechat.run("sync") == 0
        assert query("SELECT count(*) FROM followers WHERE remark = 'new'") == [(refreshed,)]
    assert query("SELECT enriched FROM runs ORDER BY id") == [(30,), (20,), (10,), (0,)]


def test_a_refresh_finds_who_left(world: Callable[..., World], query: Query) -> None:
    """A refreshed follower with `subscribe: 0` in two answers is marked as gone."""
    wechat = world(10)
    wechat.set(SYNCJOB_REFRESH_AFTER="1d")
    wechat.run("sync")
    query("UPDATE followers SET enriched_at = '2020-01-01 00:00:00'")
    gone = wechat.account.openid(6)
    wechat.account.unfollow(gone)

    assert wechat.run("sync") == 0
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [(gone,)]


def test_all_runs_of_an_account_show_a_person_by_the_same_hash(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is made with the account, or made up for one of before there were keys."""
    wechat = world(5)
    wechat.account.poison(wechat.account.openid(3))
    hashes = []
    for _ in range(3):
        assert wechat.run("-v", "sync") == 0
        hashes += re.findall(r"refused by itself. openid=(\w+)", capsys.readouterr().err)
        query("UPDATE quarantine SET next_try_at = first_failed_at")
        if len(hashes) == 2:
            query("UPDATE accounts SET hash_key = NULL")

    assert len(hashes) == 3
    assert hashes[0] == hashes[1] != hashes[2]
    ((key,),) = query("SELECT hash_key FROM accounts")
    assert re.fullmatch("[0-9a-f]{32}", key)
