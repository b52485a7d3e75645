"""WeChat's daily quotas: what others need is left alone, what is used up is not asked for again."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncjob.errors import QuotaReserved
from syncjob.model.quota import QuotaInfo, QuotaState, Spent
from syncjob.model.replies import MalformedReply
from syncjob.wechat.quotas import Quotas
from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
USER_GET = "/cgi-bin/user/get"


def let_midnight_pass(query: Query) -> None:
    """Have all that is known of today's quotas be of another day."""
    query("UPDATE quotas SET exhausted_at = '2026-01-01 00:00:00'")
    query("UPDATE api_calls SET day = '2026-01-01'")


def test_what_is_reserved_is_left_to_others_and_the_next_day_goes_on(
    world: Callable[..., World],
    database_url: str,
    query: Query,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of 10 lists a day 8 are taken, and not one more in a second run; then it ends with 75."""
    wechat = world(1200, page_size=100, daily_quota={"user/get": 10})
    count = wechat.simulator.count

    assert wechat.run("sync") == 75
    assert "what is left of its quota is reserved (20%)" in capsys.readouterr().err
    assert count("user/get") == 8
    assert query("SELECT status, pages FROM sweeps") == [("open", 8)]
    assert wechat.run("sync") == 75
    assert count("user/get") == 8

    let_midnight_pass(query)
    wechat.simulator.switches.daily_quota["user/get"] = 100
    assert wechat.run("sync") == 0
    assert count("user/get") == 13
    assert_equals_truth(database_url, wechat.simulator)


def test_what_other_programs_have_used_counts_too(world: Callable[..., World]) -> None:
    """WeChat's own count is believed: 7 of 10 were somebody else's, so one call is left."""
    wechat = world(1200, page_size=100, daily_quota={"user/get": 10})
    wechat.simulator.spend_quota("user/get", 7)

    assert wechat.run("sync") == 75
    assert wechat.simulator.count("user/get") == 1


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_the_columns_of_quota_agree(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str], concurrency: str
) -> None:
    """All programs' calls are what WeChat said and our own since, in words, JSON and metrics."""
    quota = {"user/get": 100, "user/info/batchget": 1000}
    wechat = world(1200, page_size=100, daily_quota=quota)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency, SYNCJOB_QUOTA_RESERVE="1%")
    wechat.simulator.spend_quota("user/get", 7)
    listed = 0
    for run in range(1, 4):
        assert wechat.run("sync", "--now") == 0
        listed = wechat.simulator.count("user/get")
        assert listed == 13 * run
        capsys.readouterr()
        assert wechat.run("quota", "--json") == 0
        use = {one["cgi_path"]: one for one in json.loads(capsys.readouterr().out)}[USER_GET]
        assert (use["calls"], use["used"]) == (listed, listed + 7)
        assert (use["daily_limit"], use["left"]) == (100, 100 - use["used"])
        assert use["used_when_told"] == 7 + 13 * (run - 1)
        assert wechat.run("quota") == 0
        words = capsys.readouterr().out
        assert re.search(
            rf"^{USER_GET} +{listed} +{listed + 7} +100  WeChat said {use['used_when_told']} at 20",
            words,
            re.MULTILINE,
        )
        assert wechat.run("metrics") == 0
        left = f'syncjob_quota_left{{appid="{wechat.simulator.appid}",cgi_path="{USER_GET}"}}'
        assert f"{left} {100 - listed - 7}.0\n" in capsys.readouterr().out
        wechat.simulator.spend_quota("user/get", 0)


def test_what_was_used_on_another_day_is_not_shown_as_todays(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit lasts; until WeChat has said something today, how much all have used is unknown."""
    wechat = world(5)
    assert wechat.run("sync") == 0
    query("UPDATE quotas SET used = 77, told_at = '2026-01-01 00:00:00'")
    capsys.readouterr()
    assert wechat.run("quota", "--json") == 0
    use = {one["cgi_path"]: one for one in json.loads(capsys.readouterr().out)}[USER_GET]
    assert (use["used"], use["used_when_told"]) == (None, 77)
    assert use["left"] == use["daily_limit"] - use["calls"]
    assert wechat.run("quota") == 0
    assert "limit as of 2026-01-01 00:00 UTC" in capsys.readouterr().out


def test_where_wechat_tells_no_quota_that_of_a_new_account_holds(
    world: Callable[..., World], query: Query
) -> None:
    """500 lists a day, less the reserve and the calls of earlier runs."""
    wechat = world(12, page_size=1)
    wechat.simulator.faults.add("openapi/quota/get=48001")
    wechat.set(SYNCJOB_QUOTA_RESERVE="90%", SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    assert wechat.simulator.count("user/get") == 13

    query("UPDATE api_calls SET calls = 46 WHERE cgi_path = '/cgi-bin/user/get'")
    assert wechat.run("sync") == 75
    assert wechat.simulator.count("user/get") == 13 + 4


def test_a_quota_that_is_used_up_is_not_asked_for_before_midnight(
    world: Callable[..., World],
    database_url: str,
    query: Query,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """45009 is remembered, unless WeChat says that there is something left after all."""
    wechat = world(500, page_size=100, daily_quota={"user/get": 3})
    wechat.set(SYNCJOB_QUOTA_RESERVE="off")
    simulator = wechat.simulator

    assert wechat.run("sync") == 75
    assert query("SELECT errcode, message FROM runs")[0][0] == 45009
    assert simulator.count("user/get") == 4
    assert simulator.count("openapi/quota/get") == 0
    assert wechat.run("status") == 1
    assert f"used up: {USER_GET}" in capsys.readouterr().out
    wechat.run("quota")
    assert "used up until midnight in Beijing" in capsys.readouterr().out

    assert wechat.run("sync") == 75
    simulator.faults.add("openapi/quota/get=-1")
    assert wechat.run("sync") == 75
    assert "has said today that the quota of /cgi-bin/user/get is used up" in (
        capsys.readouterr().err
    )
    assert simulator.count("user/get") == 4
    assert simulator.count("openapi/quota/get") == 2

    simulator.faults.clear()
    simulator.switches.daily_quota["user/get"] = 100  # somebody has cleared it in the console
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, simulator)
    assert query("SELECT exhausted_at FROM quotas") == [(None,)]


def test_after_midnight_in_beijing_a_used_up_quota_is_asked_for_again(
    world: Callable[..., World], database_url: str, query: Query
) -> None:
    """Whatever WeChat tells of it, or does not tell."""
    wechat = world(500, page_size=100)
    wechat.simulator.faults.add("user/get=45009@2")
    wechat.simulator.faults.add("openapi/quota/get=48001")
    assert wechat.run("sync") == 75
    assert wechat.run("sync") == 75
    assert wechat.simulator.count("user/get") == 2

    let_midnight_pass(query)
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)


def test_used_up_tokens_are_not_asked_for_until_midnight_or_until_a_person_says_so(
    world: Callable[..., World], database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a token nobody can be asked what is left; `quota forget` says it is cleared."""
    wechat = world(5)
    wechat.simulator.faults.add("stable_token=45009@1")
    assert wechat.run("sync") == 75
    assert wechat.run("sync") == 75
    assert "syncjob quota forget" in capsys.readouterr().err
    assert sum(wechat.simulator.counts.values()) == 1

    assert wechat.run("quota", "forget") == 0
    assert capsys.readouterr().out == "Forgotten: 1 used-up quota; runs call again.\n"
    assert wechat.run("quota", "forget") == 0
    assert "nothing to forget" in capsys.readouterr().out
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)


def test_every_call_is_counted_by_day_and_endpoint(
    world: Callable[..., World], query: Query
) -> None:
    """Retries too; of two runs the sum is in daily_api_calls, and `runs` has each run's own."""
    wechat = world(250, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    wechat.simulator.faults.add("user/info/batchget=-1@2")
    wechat.simulator.faults.add("user/get=-1@3")
    assert wechat.run("sync") == 0
    assert wechat.run("sync") == 0

    counts = {f"/cgi-bin/{endpoint}": n for endpoint, n in wechat.simulator.counts.items()}
    counted = query("SELECT cgi_path, calls FROM daily_api_calls")
    assert {cgi_path: int(calls) for cgi_path, calls in counted} == counts
    assert query(
        "SELECT runs.calls, sum(api_calls.calls) FROM runs JOIN api_calls ON run_id = id "
        "GROUP BY id, runs.calls HAVING runs.calls <> sum(api_calls.calls)"
    ) == []  # fmt: skip


def test_a_run_that_has_nothing_to_do_asks_for_no_quota(world: Callable[..., World]) -> None:
    """Every five minutes, it would add up."""
    wechat = world(50)
    assert wechat.run("sync") == 0
    before = sum(wechat.simulator.counts.values())

    assert wechat.run("sync") == 0

    assert sum(wechat.simulator.counts.values()) == before


@pytest.mark.parametrize("answer", ["hang", "drop", "html", "garbage", "40001", "45009", "76021"])
def test_an_unknown_quota_stops_nothing(
    world: Callable[..., World], database_url: str, answer: str
) -> None:
    """It is asked once, whatever comes; once more, and no further, where it is the token."""
    wechat = world(150, page_size=100)
    wechat.set(SYNCJOB_TIMEOUT="0.3", SYNCJOB_CONCURRENCY="1")
    wechat.simulator.faults.add(f"openapi/quota/get={answer}")

    assert wechat.run("sync") == 0

    assert_equals_truth(database_url, wechat.simulator)
    asked = 3 if answer == "40001" else 2  # of user/get and of batchget
    assert wechat.simulator.count("openapi/quota/get") == asked
    assert wechat.simulator.count("stable_token") == asked - 1


# --- a broken account, asked once ---------------------------------------------------------------


def test_a_secret_that_stays_broken_costs_one_call_a_run(world: Callable[..., World]) -> None:
    """And once it is mended, the next run does its work."""
    wechat = world(5)
    right = wechat.simulator.secret
    wechat.set(SYNCJOB_APPSECRET="wrong" * 6)
    for run in range(1, 6):
        assert wechat.run("sync") == 3
        assert sum(wechat.simulator.counts.values()) == run

    wechat.set(SYNCJOB_APPSECRET=right)
    assert wechat.run("sync") == 0


@pytest.mark.parametrize(("setting", "probes"), [("3", True), ("5", False), ("off", False)])
def test_what_fails_alike_again_and_again_is_probed_with_one_cheap_call(
    world: Callable[..., World], database_url: str, query: Query, setting: str, probes: bool
) -> None:
    """A permission that was taken away must not use up the 500 lists of a day."""
    wechat = world(5)
    wechat.set(SYNCJOB_PROBE_AFTER=setting, SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    for endpoint in ("user/get", "user/info", "user/info/batchget"):
        wechat.simulator.faults.add(f"{endpoint}=48001")
    for _ in range(3):
        assert wechat.run("sync") == 3
    before = dict(wechat.simulator.counts)

    assert wechat.run("sync") == 3

    made = {name: n - before.get(name, 0) for name, n in wechat.simulator.counts.items()}
    expected = {"user/info": 1} if probes else {"user/get": 1, "openapi/quota/get": 1}
    assert {name: n for name, n in made.items() if n} == expected
    assert query("SELECT errcode FROM runs ORDER BY id DESC LIMIT 1") == [(48001,)]
    wechat.simulator.faults.clear()
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)


def test_runs_that_fail_for_what_passes_are_not_probed(world: Callable[..., World]) -> None:
    """A busy WeChat is asked again as ever."""
    wechat = world(5)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    wechat.simulator.faults.add("user/get=-1")
    for _ in range(4):
        assert wechat.run("sync") == 75
    assert wechat.simulator.count("user/info") == 0


# --- what is left, without a database -----------------------------------------------------------


class Book:
    """Returns fixed values."""

    def __init__(self, **known: Any) -> None:
        self.state = QuotaState(**known)
        self.saved: list[QuotaInfo] = []

    def get(self, cgi_path: str) -> QuotaState:
        """Return the state."""
        return self.state

    def save(self, cgi_path: str, reported: QuotaInfo) -> None:
        """Keep it."""
        self.saved.append(reported)


def spendable(quotas: Quotas, cgi_path: str = USER_GET, most: int = 1000) -> int:
    """Spend until it says no; return how often it did not."""
    for calls in range(most):
        try:
            quotas.spend(cgi_path)
        except QuotaReserved:
            return calls
    return most


@pytest.mark.parametrize(
    ("known", "reported", "reserve", "calls"),
    [
        ({}, QuotaInfo(500, 0, 500), 0.2, 400),
        ({}, QuotaInfo(500, 450, 50), 0.2, 0),
        ({}, QuotaInfo(500, 450, 50), 0.0, 50),
        ({}, QuotaInfo(500, 450, 50), None, 1000),
        ({}, QuotaInfo(7, 0, 7), 0.2, 5),  # a reserve is rounded up
        ({}, None, 0.2, 400),
        ({"calls": 390}, None, 0.2, 10),
        ({"calls": 390, "total": 100_000}, None, 0.2, 1000),
        ({"exhausted": True}, None, 0.2, 0),
        ({"exhausted": True}, None, None, 0),
        ({"exhausted": True, "total": 10**6}, None, 0.2, 0),
        ({"exhausted": True}, QuotaInfo(500, 0, 500), None, 500),
    ],
)
def test_what_is_left_of_a_day(
    known: dict[str, Any], reported: QuotaInfo | None, reserve: float | None, calls: int
) -> None:
    """What WeChat tells comes first, then that it is used up, then what new accounts have."""
    quotas = Quotas(Book(**known), reserve=reserve)
    quotas.learn(USER_GET, lambda: reported)
    assert spendable(quotas) == calls


def test_a_large_account_is_not_held_to_what_a_new_one_has() -> None:
    """The first page says how large it is."""
    quotas = Quotas(Book(calls=399), reserve=0.2)
    quotas.learn(USER_GET, lambda: None)
    quotas.spend(USER_GET)
    quotas.note_total(99_999)
    with pytest.raises(QuotaReserved):
        quotas.spend(USER_GET)
    quotas.note_total(100_000)
    assert spendable(quotas) == 1000


def test_at_midnight_in_beijing_all_is_asked_anew() -> None:
    """Also in the middle of a run; a call counts on the day it was sent."""
    now = datetime(2026, 11, 21, 15, 59, tzinfo=UTC)
    quotas = Quotas(Book(), reserve=0.2, now=lambda: now)
    quotas.learn(USER_GET, lambda: QuotaInfo(10, 8, 2))
    assert spendable(quotas) == 0
    now += timedelta(minutes=1)
    quotas.learn(USER_GET, lambda: QuotaInfo(10, 0, 10))
    assert spendable(quotas) == 8
    assert quotas.spent == (Spent(now.date() + timedelta(days=1), USER_GET, 8),)


@pytest.mark.parametrize(
    "quota",
    [None, [], "", {}, {"daily_limit": 0, "remain": 0}, {"daily_limit": 5}, {"remain": "x"}],
)
def test_an_answer_without_a_quota_is_none(quota: Any) -> None:
    """It says nothing, so it must not stop a run."""
    with pytest.raises(MalformedReply):
        QuotaInfo.from_json({"quota": quota})


def test_numbers_that_contradict_each_other_are_brought_into_bounds() -> None:
    """WeChat's counters may be off."""
    said = {"daily_limit": 500, "used": 503, "remain": -3}
    assert QuotaInfo.from_json({"quota": said}) == QuotaInfo(500, 503, 0)
    assert QuotaInfo.from_json({"quota": {"daily_limit": 5, "remain": 9}}) == QuotaInfo(5, 0, 5)


def test_calls_that_brought_an_error_are_counted_by_errcode(
    world: Callable[..., World], query: Callable[..., list[Any]]
) -> None:
    """Each that was sent and went wrong, those asked again too; a page of a gateway's has none."""
    wechat = world(150)
    for fault in ("user/get=-1@1-2", "user/info/batchget=http-502@1", "stable_token=-1@1"):
        wechat.simulator.faults.add(fault)
    assert wechat.run("sync") == 0
    assert query("SELECT cgi_path, error, calls FROM api_errors ORDER BY cgi_path") == [
        ("/cgi-bin/stable_token", "-1", 1),
        ("/cgi-bin/user/get", "-1", 2),
        ("/cgi-bin/user/info/batchget", "unanswered", 1),
    ]


def test_a_token_that_is_refused_where_a_quota_is_asked_for_is_replaced_first(
    world: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the run would go by what a new account may ask, and spend what is reserved."""
    wechat = world(3000, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync") == 0
    wechat.simulator.kill_tokens()
    wechat.simulator.switches.daily_quota["user/get"] = wechat.simulator.count("user/get") + 5
    assert wechat.run("sync") == 75
    assert "no more calls of /cgi-bin/user/get today" in capsys.readouterr().err
