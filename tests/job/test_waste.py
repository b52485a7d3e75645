"""Runs that stop where more calls cannot help, and go on where one person is what is wrong."""

import json
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]

CONCURRENCY = ["1", "8", "32"]
PEOPLE = ("user/info/batchget", "user/info")


def calls_of(wechat: World) -> int:
    """All calls that came in."""
    return sum(wechat.simulator.counts.values())


def asked_about_people(wechat: World) -> int:
    """The calls that asked about people."""
    return sum(wechat.simulator.count(endpoint) for endpoint in PEOPLE)


def stored(world: Callable[..., World], query: Query, followers: int, **switches: Any) -> World:
    """A world whose followers are all stored, and due to be asked about again."""
    wechat = world(followers, **switches)
    assert wechat.run("sync") == 0
    query("UPDATE followers SET enriched_at = '2020-01-01 00:00:00'")
    wechat.set(SYNCJOB_REFRESH_AFTER="1d")
    return wechat


# --- a refusal that lasts -----------------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize(("errcode", "code"), [(48001, 3), (45009, 75), (50002, 3), (40164, 3)])
def test_after_a_refusal_that_lasts_nobody_is_asked_about(
    world: Callable[..., World], concurrency: str, errcode: int, code: int
) -> None:
    """Only the calls that were out already are answered the same; the list goes on."""
    wechat = world(10_000, page_size=2_500)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.simulator.faults.add(f"user/info/batchget={errcode}")

    assert wechat.run("sync") == code

    assert asked_about_people(wechat) <= int(concurrency)
    assert wechat.simulator.count("user/get") <= 5


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_refusal_ends_the_calls_of_all_who_look_for_somebody(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """Halving, single questions and calls that wait to be repeated begin no more."""
    wechat = world(3_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    for openid in list(wechat.account.openids())[::40]:
        wechat.account.blank(openid)
    wechat.simulator.faults.add("user/info=48001@5-")

    assert wechat.run("sync") == 3

    assert wechat.simulator.count("user/info") <= 4 + int(concurrency)


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_token_that_cannot_be_had_is_asked_for_once(
    world: Callable[..., World], concurrency: str
) -> None:
    """Of many threads whose token is refused, one asks for another, and is refused for all."""
    wechat = world(10_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.simulator.faults.add("user/info/batchget=40001")
    wechat.simulator.faults.add("stable_token=40125@2-")

    assert wechat.run("sync") == 3

    assert wechat.simulator.count("stable_token") == 2
    assert asked_about_people(wechat) <= int(concurrency)


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_settling_ends_with_the_first_refusal_that_lasts(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """Whose unionid has changed is not asked about any more, either."""
    wechat = stored(world, query, 1_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.account.move_unionids()
    wechat.simulator.faults.add("user/info=45009@10-")

    assert wechat.run("sync") == 75

    assert wechat.simulator.count("user/info") <= 9 + int(concurrency)


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_database_that_fails_ends_the_calls(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """A run that cannot store answers asks for no more of them."""
    wechat = world(20_000, latency=0.02)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)

    def spoil(request: Any) -> None:
        if wechat.simulator.count("user/info/batchget") == 1 and request.openids:
            query("ALTER TABLE runs RENAME TO runs_of_somebody_else")

    wechat.simulator.on_request = spoil
    assert wechat.run("sync") == 4

    # The first group of answers is stored after twenty batches, or half a second.
    assert asked_about_people(wechat) <= 100


# --- everybody is refused -----------------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("followers", [30, 100, 3_000])
def test_where_everybody_is_refused_a_run_stops_soon(
    world: Callable[..., World],
    query: Query,
    capsys: pytest.CaptureFixture[str],
    followers: int,
    concurrency: str,
) -> None:
    """A hundred calls at most, exit code 3, one sentence with the cure, and nobody is blamed."""
    wechat = world(followers)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    for openid in wechat.account.openids():
        wechat.account.poison(openid)

    assert wechat.run("sync") == 3

    assert calls_of(wechat) <= 100
    assert "WeChat refuses everybody who was asked about (40003)" in capsys.readouterr().err
    assert query("SELECT count(*) FROM quarantine") == [(0,)]
    assert query("SELECT exit_code, errcode FROM runs") == [(3, 40003)]


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize(
    ("fault", "code"),
    [("40003", 3), ("46004", 3), ("49003", 3), ("61234", 1), ("cut", 75), ("http-500", 75)],
)
def test_where_every_batch_fails_a_run_stops_soon(
    world: Callable[..., World], query: Query, fault: str, code: int, concurrency: str
) -> None:
    """Whatever batchget says of everybody, and whatever user/info says of them."""
    wechat = world(3_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.simulator.faults.add(f"user/info/batchget={fault}")

    assert wechat.run("sync") == code

    # What may pass is tried six times by each thread; all of that is no more than it ever was.
    attempts = {"http-500": 6, "cut": 2}.get(fault, 1)
    assert calls_of(wechat) <= 70 + int(concurrency) * attempts
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize("command", ["backfill", "refresh"])
def test_known_followers_who_are_all_refused_end_a_run_soon(
    world: Callable[..., World], query: Query, command: str, concurrency: str
) -> None:
    """In a refresh and a backfill as in a first sync."""
    wechat = stored(world, query, 3_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    for openid in wechat.account.openids():
        wechat.account.poison(openid)
    before = calls_of(wechat)

    assert wechat.run("backfill" if command == "backfill" else "sync") == 3

    assert calls_of(wechat) - before <= 100
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_refused_candidates_are_not_everybody(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """Where WeChat answers about others, refused OpenIDs are taken one by one."""
    wechat = world(1_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency, SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    refused = list(wechat.account.openids())[:40]
    for openid in refused:
        wechat.account.hide(openid)
        wechat.account.poison(openid)

    wechat.simulator.switches.total_cut = True
    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM followers WHERE subscribe") == [(1_000,)]
    assert query("SELECT count(*) FROM unfollow_candidates WHERE undecided") == [(40,)]


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_a_tenth_that_is_refused_is_put_aside(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """Also if they stand side by side, and come first."""
    wechat = world(300)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    for openid in sorted(wechat.account.openids())[:30]:
        wechat.account.poison(openid)

    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM quarantine WHERE errcode = 40003") == [(30,)]
    assert query("SELECT count(enriched_at) FROM followers") == [(270,)]


# --- one person is what is wrong ----------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize(
    ("fault", "errcode"),
    [("61234", 61234), ("-1", -1), ("http-500", None), ("garbage", None), ("49003", 49003)],
)
@pytest.mark.parametrize("followers", [100, 3_000])
def test_one_openid_that_fails_its_batch_is_found_and_put_aside(
    world: Callable[..., World],
    query: Query,
    capsys: pytest.CaptureFixture[str],
    followers: int,
    fault: str,
    errcode: int | None,
    concurrency: str,
) -> None:
    """Whatever WeChat says: all the others are enriched in the first run, and it says so once."""
    wechat = world(followers)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    culprit = wechat.account.openid(followers // 3)
    wechat.account.fail(culprit, fault)

    assert wechat.run("sync") == 0

    assert query("SELECT count(enriched_at) FROM followers") == [(followers - 1,)]
    ((openid, found, rid),) = query("SELECT openid, errcode, rid FROM quarantine")
    assert (openid, found) == (culprit, errcode)
    assert (rid is None) == (errcode is None)
    assert asked_about_people(wechat) <= followers // 100 + 40
    message = f"Put OpenIDs into quarantine. openids=1 errcodes={errcode or 'none'}"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("concurrency", CONCURRENCY)
@pytest.mark.parametrize(("fault", "code"), [("-1", 75), ("http-502", 75), ("drop", 75)])
def test_where_wechat_is_busy_nobody_is_looked_for(
    world: Callable[..., World], query: Query, fault: str, code: int, concurrency: str
) -> None:
    """What fails for everybody is WeChat's: a few others are asked about, and the run ends."""
    wechat = stored(world, query, 1_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    before = asked_about_people(wechat)
    wechat.simulator.faults.add(f"user/info/batchget={fault}")

    assert wechat.run("sync") == code

    threads = min(int(concurrency), 10)
    assert asked_about_people(wechat) - before <= 6 * threads + 12
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_one_openid_that_user_info_fails_for_is_put_aside(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """A single question that stays unanswered is that person's, if others are answered."""
    wechat = world(300)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    for n in (3, 5, 7):
        wechat.account.blank(wechat.account.openid(n))
    culprit = wechat.account.openid(5)
    asks = {"n": 0}

    def fail(request: Any) -> None:
        wechat.account.cure(culprit)
        wechat.account.blank(culprit)
        if request.endpoint == "user/info" and request.params["openid"] == culprit:
            wechat.account.fail(culprit, "-1")
            asks["n"] += 1

    wechat.simulator.on_request = fail
    assert wechat.run("sync") == 0

    assert query("SELECT openid, errcode FROM quarantine") == [(culprit, -1)]
    assert query("SELECT count(enriched_at) FROM followers") == [(299,)]


def test_whom_batchget_alone_refuses_user_info_is_asked_about(
    world: Callable[..., World], query: Query
) -> None:
    """Refused by batchget is no answer: user/info has the last word."""
    wechat = world(300)
    follower, gone = wechat.account.openid(30), wechat.account.openid(40)
    wechat.account.unfollow(gone)
    wechat.account.linger(gone)

    def refuse(request: Any) -> None:
        for openid in (follower, gone):
            wechat.account.cure(openid)
            if request.endpoint == "user/info/batchget":
                wechat.account.fail(openid, "40003")

    wechat.simulator.on_request = refuse
    assert wechat.run("sync") == 0

    assert query("SELECT count(*) FROM quarantine") == [(0,)]
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [(gone,)]
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(0,)]


# --- the probe ----------------------------------------------------------------------------


def test_a_stray_49003_does_not_keep_the_list_from_being_read(
    world: Callable[..., World], query: Query
) -> None:
    """The call that comes first asks about others than the one who failed."""
    wechat = world(300)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    stray = min(wechat.account.openids())
    wechat.account.fail(stray, "49003")
    # As a version before this one has left it.
    query("UPDATE runs SET status = 'failed', exit_code = 3, errcode = 49003, message = 'x'")
    wechat.set(SYNCJOB_PROBE_AFTER="1")
    wechat.account.follow(3)

    assert wechat.run("sync") == 0

    assert query("SELECT count(enriched_at) FROM followers") == [(303,)]


def test_where_everybody_stays_refused_a_probe_ends_the_run(
    world: Callable[..., World], query: Query
) -> None:
    """After three runs that were refused about everybody, the next one makes a few calls."""
    wechat = stored(world, query, 500)
    for openid in wechat.account.openids():
        wechat.account.poison(openid)
    for _ in range(3):
        assert wechat.run("sync") == 3
    before = calls_of(wechat)

    assert wechat.run("sync") == 3
    assert calls_of(wechat) - before <= 5

    for openid in wechat.account.openids():
        wechat.account.cure(openid)
    assert wechat.run("sync") == 0


# --- another Open Platform ----------------------------------------------------------------


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_unionids_that_all_move_cost_few_calls(
    world: Callable[..., World],
    query: Query,
    capsys: pytest.CaptureFixture[str],
    concurrency: str,
) -> None:
    """After a hundred confirmations one of each batch is asked about, which is said once."""
    wechat = stored(world, query, 3_000)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.account.move_unionids()

    assert wechat.run("sync") == 0

    # Of those that wait already when there are a hundred, one of ten is asked about at most.
    most = {"1": 100 + 30, "8": 250, "32": 400}
    assert wechat.simulator.count("user/info") <= most[concurrency]
    truth = {o: wechat.account.user(o)["unionid"] for o in wechat.account.openids()}
    assert dict(query("SELECT openid, unionid FROM followers")) == truth
    assert capsys.readouterr().err.count("All unionids have changed") == 1
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


def test_changed_unionids_are_asked_about_side_by_side(
    world: Callable[..., World], query: Query
) -> None:
    """As many questions are out as are allowed, also of one batch."""
    wechat = stored(world, query, 100)
    wechat.account.move_unionids()
    wechat.simulator.latency = 0.2
    began = time.monotonic()

    assert wechat.run("sync") == 0

    assert wechat.simulator.count("user/info") == 100
    assert time.monotonic() - began < 100 * 0.2 / 2


@pytest.mark.parametrize("concurrency", CONCURRENCY)
def test_one_contradiction_ends_the_belief(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """A batch whose unionids are shifted is found by its last entry; nothing wrong is stored."""
    wechat = stored(world, query, 1_500)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.account.move_unionids()
    people = sorted(wechat.account.openids())
    moved = {openid: str(wechat.account.user(openid)["unionid"]) for openid in people}
    for own, other in pairwise(people[1_040:1_100]):
        wechat.account.misname(own, moved[other])
    wechat.account.hide_unionid(people[1_099])
    before = dict(query("SELECT openid, unionid FROM followers"))

    assert wechat.run("sync") == 0

    stored_now = dict(query("SELECT openid, unionid FROM followers"))
    assert all(stored_now[openid] in (moved[openid], before[openid]) for openid in people)
    doubted = {openid for (openid,) in query("SELECT openid FROM quarantine")}
    assert doubted == set(people[1_040:1_099])
    assert [o for o in people if stored_now[o] != moved[o]] == people[1_040:1_100]


def test_the_calls_of_a_move_are_planned(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """`plan` sees in its one batch that unionids have moved, and counts what a backfill asks."""
    wechat = stored(world, query, 3_000)
    wechat.account.move_unionids()
    capsys.readouterr()

    assert wechat.run("plan", "--json") == 0

    assert json.loads(capsys.readouterr().out)["singles"]["calls"] == 100 + 30
    before = wechat.simulator.count("user/info")
    assert wechat.run("sync") == 0
    assert abs(wechat.simulator.count("user/info") - before - 130) <= 8


# --- bound to an Open Platform ------------------------------------------------------------


def test_followers_of_before_the_account_was_bound_are_found_and_said_once(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of the log once, a line in status and doctor until a backfill has fetched them."""
    wechat = world(300, unionid=False)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    message = "WeChat sends unionids now"
    assert wechat.run("sync") == 0
    assert message not in capsys.readouterr().err

    wechat.account.bind()
    for times in (1, 0):
        wechat.account.follow(2)
        assert wechat.run("sync") == 0
        assert capsys.readouterr().err.count(message) == times
    assert wechat.run("status") == 0
    assert "older profiles lack theirs" in capsys.readouterr().out
    wechat.run("doctor", "--offline")
    assert "fetch all profiles again: syncjob backfill" in capsys.readouterr().out

    assert wechat.run("backfill") == 0
    assert query("SELECT count(*) FROM followers WHERE unionid IS NULL") == [(0,)]
    assert wechat.run("status") == 0
    assert "older profiles lack theirs" not in capsys.readouterr().out
    assert query("SELECT unionids_missing_at FROM accounts") == [(None,)]


def test_single_profiles_without_a_unionid_are_no_news(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches leave a unionid out at times; an account without an Open Platform has none."""
    wechat = world(300)
    for n in (10, 20):
        wechat.account.hide_unionid(wechat.account.openid(n))
    assert wechat.run("sync") == 0
    assert "unionids" not in capsys.readouterr().err
    assert query("SELECT unionids_missing_at FROM accounts") == [(None,)]


def test_three_failures_at_the_start_of_a_first_sync_are_not_everybodys(
    world: Callable[..., World],
) -> None:
    """Before its first page is stored, followers that were just answered about are controls."""
    wechat = world(25, page_size=10)
    wechat.set(SYNCJOB_CONCURRENCY="1", SYNCJOB_BATCH_SIZE="20")
    for index in (1, 11):
        wechat.account.blank(wechat.account.openid(index))
    wechat.simulator.faults.add("user/info=47001@1-3")

    assert wechat.run("sync") == 0
