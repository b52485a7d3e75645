"""The job against a served WeChat, on both databases: what ends up in the tables."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, select

from syncjob.database.tables import followers as followers_table
from syncjob.simulator import Simulator
from tests.conftest import World

pytestmark = [pytest.mark.pooled, pytest.mark.one_database]

Query = Callable[..., list[Any]]

PROFILE = ("nickname", "sex", "language", "city", "province", "country", "headimgurl", "unionid")
PROFILE += ("remark", "groupid", "tagid_list", "subscribe_scene", "qr_scene", "qr_scene_str")


def rows(database_url: str) -> dict[str, dict[str, Any]]:
    """All followers of the database, by OpenID."""
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            row["openid"]: dict(row)
            for row in connection.execute(select(followers_table)).mappings()
        }
    engine.dispose()
    return found


def assert_equals_truth(database_url: str, simulator: Simulator) -> None:
    """Every follower that WeChat knows is there, each field as user/info says, and nobody else."""
    found = rows(database_url)
    assert found.keys() == set(simulator.account.openids())
    for openid, row in found.items():
        truth = simulator.account.user(openid)
        assert row["subscribe"] is True
        assert row["enriched_at"] is not None
        for name in PROFILE:
            assert row[name] == truth.get(name), name
        output = truth.get("subscribe_time")
        assert row["subscribe_time"] == (output and datetime.fromtimestamp(output, UTC))


@pytest.mark.parametrize("followers", [0, 1, 10_000, 10_001, 23_000])
def test_an_account_of_any_size_is_stored_whole(
    world: Callable[..., World], database_url: str, followers: int
) -> None:
    """Every follower of an account is in the table after one sync, each field as WeChat says."""
    wechat = world(followers, record=False)

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    pages = -(-followers // 10_000)
    assert wechat.simulator.count("user/get") == pages + 1
    assert wechat.simulator.count("user/info/batchget") == -(-followers // 100)


@pytest.mark.parametrize("profiles", ["today", "full", "docs"])
def test_every_shape_of_profile_is_stored(
    world: Callable[..., World], database_url: str, profiles: str
) -> None:
    """Profiles of before 2021, of today and of the documentation are all stored as they came."""
    wechat = world(300, profiles=profiles)

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)


def test_a_second_sync_changes_no_follower(world: Callable[..., World], database_url: str) -> None:
    """A sweep that finds nothing new leaves every row exactly as it was."""
    wechat = world(2300, page_size=1000, profiles="full")
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    wechat.run("sync")
    before = rows(database_url)
    batches = wechat.simulator.count("user/info/batchget")

    assert wechat.run("sync") == 0

    assert rows(database_url) == before
    assert wechat.simulator.count("user/info/batchget") == batches


LISTS = {
    "a blank OpenID in the list": {"blank_entry": True},
    "an OpenID twice in a page": {"repeat_entry": True},
    "a next_openid that names the first of the next page": {"cursor": "inclusive"},
    "an empty next_openid on the last page": {"last_cursor": "empty"},
    "a blank next_openid on the last page": {"last_cursor": "space"},
    "no next_openid on the last page": {"last_cursor": "absent"},
    "an empty data object past the end": {"past_end": "empty-data"},
    "a null data past the end": {"past_end": "null-data"},
    "a null list past the end": {"past_end": "null-openid"},
    "an empty list past the end": {"past_end": "empty-openid"},
    "no total past the end": {"past_end": "no-total"},
    "a count that is too high": {"count_off": 7},
    "a count that is too low": {"count_off": -7},
    "a total that drifts": {"total_off": 3},
    "an empty cursor refused": {"empty_cursor": "40003"},
    "batches in any order": {"shuffle": True},
    "an entry twice in a batch": {"repeat_user": True},
}


@pytest.mark.parametrize("switches", LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("followers", [250, 300])
def test_whatever_shape_the_answers_have_the_account_is_stored_whole(
    world: Callable[..., World],
    database_url: str,
    query: Query,
    followers: int,
    switches: dict[str, Any],
) -> None:
    """The sweep ends, sealed, with everybody stored, whatever WeChat's list looks like."""
    wechat = world(followers, page_size=100, **switches)

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT status, openids FROM sweeps") == [("sealed", followers)]
    asked = [r.params for r in wechat.simulator.requests if r.endpoint == "user/get"]
    assert "next_openid" not in asked[0]
    assert all(params["next_openid"].strip() for params in asked[1:])


@pytest.mark.parametrize("loop", ["restart", "still", "page-one"])
def test_a_list_that_starts_over_ends_the_sweep(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str], loop: str
) -> None:
    """A list that leads back to its beginning is given up, recorded, and never followed round."""
    wechat = world(300, page_size=100, loop=loop)

    code = wechat.run("sync")

    assert wechat.simulator.count("user/get") <= 5
    ((status, reason),) = query("SELECT status, reason FROM sweeps")
    assert (code, status) == (75, "discarded")
    assert reason in capsys.readouterr().err


def test_a_refused_cursor_starts_the_list_over_once(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """40003 on a cursor discards the sweep; another one, in the same run, stores everybody."""
    wechat = world(300, page_size=100)
    wechat.simulator.faults.add("user/get=40003@2")

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("sealed",)]


def test_a_cursor_refused_twice_ends_the_run(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """40003 on the second sweep's cursor too ends the run with 75, and the next run heals it."""
    wechat = world(300, page_size=100)
    wechat.simulator.faults.add("user/get=40003@2")
    wechat.simulator.faults.add("user/get=40003@4")

    assert wechat.run("sync") == 75
    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("discarded",)]

    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)


def test_a_follower_who_returns_is_subscribed_again(
    world: Callable[..., World], query: Query
) -> None:
    """One who was marked as gone and is listed again follows again; first_seen_at stays."""
    wechat = world(5)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    wechat.run("sync")
    (openid, first_seen_at), *_ = query("SELECT openid, first_seen_at FROM followers")
    query(
        "UPDATE followers SET subscribe = false, unsubscribed_at = first_seen_at, "
        "unfollowed_before = first_seen_at WHERE openid = :o",
        o=openid,
    )

    assert wechat.run("sync") == 0

    now = query(
        "SELECT subscribe, unsubscribed_at, first_seen_at FROM followers WHERE openid = :o",
        o=openid,
    )
    assert now == [(True, None, first_seen_at)]
    assert query("SELECT returned, enriched FROM runs ORDER BY id DESC LIMIT 1") == [(1, 1)]


def test_who_left_before_enrichment_is_not_subscribed(
    world: Callable[..., World], query: Query
) -> None:
    """subscribe 0 in a batch sets subscribe false and keeps what is stored."""
    wechat = world(10, profiles="full")
    wechat.run("sync")
    openid = wechat.account.openid(3)
    before = query(
        "SELECT nickname, unionid, subscribe_time FROM followers WHERE openid=:o", o=openid
    )
    query("UPDATE followers SET enriched_at = NULL")
    wechat.account.unfollow(openid)

    assert wechat.run("sync") == 0

    after = query(
        "SELECT nickname, unionid, subscribe_time FROM followers WHERE openid=:o", o=openid
    )
    assert after == before
    ((subscribe, unsubscribed_at),) = query(
        "SELECT subscribe, unsubscribed_at FROM followers WHERE openid=:o", o=openid
    )
    assert not subscribe
    assert unsubscribed_at is not None
    assert query("SELECT count(*) FROM followers WHERE subscribe") == [(9,)]


def test_what_wechat_stopped_sending_is_kept(world: Callable[..., World], query: Query) -> None:
    """Empty strings, a sex of 0 and absent keys never erase a stored value."""
    wechat = world(3, profiles="full")
    wechat.run("sync")
    names = "nickname, sex, language, city, province, country, headimgurl, unionid"
    before = query(f"SELECT {names} FROM followers ORDER BY openid")
    query("UPDATE followers SET enriched_at = NULL")
    for openid in wechat.account.openids():
        wechat.account.override(
            openid, nickname="", sex=0, language="", city="", province="", country="", headimgurl=""
        )
        wechat.account.hide_unionid(openid)

    assert wechat.run("sync") == 0

    assert query(f"SELECT {names} FROM followers ORDER BY openid") == before
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(0,)]


def test_a_remark_that_was_cleared_is_cleared(world: Callable[..., World], query: Query) -> None:
    """What operators of the account clear on purpose, remark and tags, becomes empty here too."""
    wechat = world(1)
    openid = wechat.account.openid(0)
    wechat.account.override(openid, remark="VIP", tagid_list=[2, 100])
    wechat.run("sync")
    query("UPDATE followers SET enriched_at = NULL")
    wechat.account.override(openid, remark="", tagid_list=[])

    wechat.run("sync")

    ((remark, tags),) = query("SELECT remark, tagid_list FROM followers")
    assert remark == ""
    assert tags in ([], "[]")


def test_one_poisoned_openid_does_not_cost_its_batch(
    world: Callable[..., World], query: Query
) -> None:
    """A batch that 40003 refuses whole is halved until the culprit stands alone; 99 go through."""
    wechat = world(100)
    openid = wechat.account.openid(42)
    wechat.account.poison(openid)

    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL") == [(99,)]
    assert query("SELECT openid, errcode, attempts FROM quarantine") == [(openid, 40003, 1)]
    assert query("SELECT enriched, skipped FROM runs") == [(99, 1)]
    assert wechat.simulator.count("user/info/batchget") <= 1 + 2 * 7

    asked = wechat.simulator.count("user/info/batchget")
    assert wechat.run("sync") == 0
    assert wechat.simulator.count("user/info/batchget") == asked, "it is not asked again at once"


def test_a_quarantined_openid_that_answers_again_is_let_out(
    world: Callable[..., World], query: Query
) -> None:
    """When its time has come it is asked again, and a good answer ends its quarantine."""
    wechat = world(10)
    openid = wechat.account.openid(4)
    wechat.account.poison(openid)
    wechat.run("sync")
    wechat.account.cure(openid)
    query("UPDATE quarantine SET next_try_at = first_failed_at")

    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM quarantine") == [(0,)]
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(0,)]


def test_a_missing_entry_stays_unenriched_and_is_asked_once_a_run(
    world: Callable[..., World], query: Query
) -> None:
    """An OpenID that a batch leaves out is not enriched, not unfollowed, not asked in circles."""
    wechat = world(150)
    openid = wechat.account.openid(42)
    wechat.account.forget(openid)

    assert wechat.run("sync") == 0

    # Once more for the others of its batch, whose unionids may have shifted.
    assert wechat.simulator.count("user/info/batchget") == 3
    assert query("SELECT openid, subscribe FROM followers WHERE enriched_at IS NULL") == [
        (openid, True)
    ]
    assert query("SELECT enriched, skipped FROM runs") == [(149, 1)]


def test_a_batch_size_that_is_refused_is_halved(world: Callable[..., World], query: Query) -> None:
    """40032 halves the batch, and nobody is left out."""
    wechat = world(100, batch_limit=50)

    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL") == [(100,)]
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


def test_the_batch_size_is_as_set(world: Callable[..., World]) -> None:
    """SYNCJOB_BATCH_SIZE OpenIDs are asked for in a call."""
    wechat = world(100)
    wechat.set(SYNCJOB_BATCH_SIZE="7")

    wechat.run("sync")

    sizes = [len(r.openids) for r in wechat.simulator.requests if r.openids]
    assert sorted(sizes) == [2] + [7] * 14


BYTES = {
    "raw control characters": (b'"\x14\x07\xe6\x88\x91"', "\x14\x07我"),
    "a NUL": (b'"a\\u0000b"', "ab"),
    "a lone surrogate": (b'"a\\ud83db"', "ab"),
    "an emoji as two escapes": (b'"\\ud83d\\ude00"', "😀"),
    "GBK bytes": (b'"\xce\xd2"', "\ufffd\ufffd"),
    "UTF-16BE bytes with a backslash": (b'"l\xb3S\x17\\/"', "l\ufffdS\x17/"),
    "an escaped slash": (b'"http:\\/\\/a"', "http://a"),
    "a private use emoji": ('"\ue13c"'.encode(), "\ue13c"),
    "a number where a text belongs": (b"17", None),
    "null": (b"null", None),
}


@pytest.mark.parametrize(("wire", "stored"), BYTES.values(), ids=BYTES.keys())
def test_bytes_that_break_parsers_and_databases_are_survived(
    world: Callable[..., World], query: Query, wire: bytes, stored: str | None
) -> None:
    """Odd bytes of one user are cleaned, and nothing of the rest of the batch is lost."""
    wechat = world(3)
    openid = wechat.account.openid(1)
    wechat.account.wire(openid, {"remark": wire})

    assert wechat.run("sync") == 0

    assert query("SELECT remark FROM followers WHERE openid = :o", o=openid) == [(stored,)]
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(0,)]


def test_openids_are_told_apart_by_case(world: Callable[..., World], query: Query) -> None:
    """Two OpenIDs that differ in case only are two followers."""
    wechat = world(2)
    wechat.run("sync")
    (account_id,) = query("SELECT id FROM accounts")[0]
    (openid,) = query("SELECT openid FROM followers LIMIT 1")[0]
    query(
        "INSERT INTO followers (account_id, openid) VALUES (:a, :o)",
        a=account_id,
        o=openid.swapcase(),
    )

    assert query("SELECT count(*) FROM followers") == [(3,)]


def test_two_accounts_share_a_database(
    serve: Callable[..., World], database_url: str, query: Query
) -> None:
    """Runs of one account neither see nor touch another's followers, sweeps, runs and tokens."""
    for seed in (1, 2, 1):
        wechat = serve(150, seed=seed)
        wechat.set(SYNCJOB_DATABASE_URL=database_url, SYNCJOB_SWEEP_EVERY="0")
        assert wechat.run("sync") == 0

    for table, count in (("followers", 150), ("access_tokens", 1)):
        statement = f"SELECT count(*) FROM {table} GROUP BY account_id ORDER BY account_id"
        assert query(statement) == [(count,), (count,)]
    assert query("SELECT new, enriched FROM runs ORDER BY id") == [(150, 150), (150, 150), (0, 0)]
