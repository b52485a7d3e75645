"""Missing from the list, and WeChat refuses to speak of them: seen, asked with pauses, settled."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.ages import age
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
DETAILS = ("user/info", "user/info/batchget")


class Scene:
    """An account whose followers are in the database, and time that passes there."""

    def __init__(self, wechat: World, query: Query, kind: str, capsys: Any) -> None:
        self.wechat = wechat
        self.account = wechat.account
        self.query = query
        self._kind = kind
        self._capsys = capsys

    def sweep(self, code: int = 0, hours: float = 0) -> int:
        """Let time pass and sweep; return how many calls were made about people."""
        if hours:
            age(self.query, hours, postgresql=self._kind == "postgresql")
        before = self.calls
        assert self.wechat.run("sync") == code
        return self.calls - before

    @property
    def calls(self) -> int:
        """How often WeChat was asked about people."""
        return sum(self.wechat.simulator.count(endpoint) for endpoint in DETAILS)

    @property
    def gone(self) -> dict[str, str]:
        """Return the followers marked as gone, with the reason."""
        return dict(
            self.query("SELECT openid, unsubscribe_reason FROM followers WHERE NOT subscribe")
        )

    def vanish(self, index: int, errcode: int = 40003, *, batches: bool = True) -> str:
        """Somebody leaves, and WeChat refuses to speak of them."""
        openid = self.account.openid(index)
        self.account.unfollow(openid)
        self.account.refuse(openid, errcode, batches=batches)
        return openid

    def output(self, *arguments: str) -> str:
        """What a command prints."""
        self._capsys.readouterr()
        self.wechat.run(*arguments)
        return str(self._capsys.readouterr().out)

    def refused(self) -> int:
        """How many `status` says are missing and refused."""
        return int(json.loads(self.output("status", "--json"))["unfollows_refused"])


@pytest.fixture
def scene(
    world: Callable[..., World], query: Query, databases: Any, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Scene]:
    """Make one; each further run sweeps."""

    def start(followers: int, concurrency: int = 8, **switches: Any) -> Scene:
        wechat = world(followers, **switches)
        wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_CONCURRENCY=str(concurrency))
        made = Scene(wechat, query, databases.kind, capsys)
        made.sweep()
        return made

    return start


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("batches", [True, False], ids=["both", "user-info-alone"])
def test_refused_after_three_sweeps_over_a_day_they_are_gone(
    scene: Callable[..., Scene], query: Query, concurrency: int, batches: bool
) -> None:
    """Not before; the reason is stored, all else is kept, and nothing of the state is left."""
    here = scene(100, concurrency)
    openid = here.vanish(7, 46004, batches=batches)

    for hours in (0, 25):
        here.sweep(hours=hours)
        assert here.gone == {}
        assert here.refused() == 1
        assert query("SELECT openid, errcode FROM quarantine") == [(openid, 46004)]
    here.sweep(hours=25)

    assert here.gone == {openid: "refused"}
    assert query("SELECT count(*) FROM quarantine") == [(0,)]
    assert query("SELECT count(*) FROM unfollow_candidates") == [(0,)]
    assert query("SELECT unfollowed, lagging FROM runs ORDER BY id DESC LIMIT 1") == [(1, 0)]
    assert query(
        "SELECT openid FROM follow_periods WHERE unsubscribe_reason = 'refused' "
        "AND unfollowed_after IS NOT NULL AND unfollowed_before > unfollowed_after"
    ) == [(openid,)]
    # Between the sweep that had them last, the first, and the third refusal.
    assert query(
        "SELECT count(*) FROM followers, sweeps WHERE NOT subscribe "
        "AND unfollowed_after = started_at AND sweeps.id = 1"
    ) == [(1,)]
    assert here.refused() == 0


@pytest.mark.parametrize("errcode", [40003, 43004, 46004, 50005, 65302])
def test_every_refusal_counts(scene: Callable[..., Scene], errcode: int) -> None:
    """Whatever errcode WeChat refuses an OpenID with."""
    here = scene(20)
    openid = here.vanish(7, errcode)
    for _ in range(3):
        here.sweep(hours=25)
    assert here.gone == {openid: "refused"}


def test_between_the_pauses_they_cost_no_call(scene: Callable[..., Scene]) -> None:
    """Asked after an hour, a day, then weeks; each time by one call, however often is swept."""
    here = scene(400)
    here.wechat.set(SYNCJOB_MAX_UNFOLLOW="100%")
    for index in range(40):
        here.vanish(index, 43004)

    assert here.sweep() > 40
    calls = [here.sweep(hours=hours) for hours in (0, 0.5, 0, 0.6, 0, 20)]
    assert calls[:3] + calls[4:] == [0] * 5
    assert 40 <= calls[3] <= 45  # some more, to see whether WeChat answers about others
    assert here.gone == {}
    assert 40 <= here.sweep(hours=4) <= 45  # as soon as it can decide
    assert set(here.gone.values()) == {"refused"}
    assert len(here.gone) == 40
    assert here.sweep(hours=200) == 0


def test_three_sweeps_in_less_than_a_day_end_nothing(
    scene: Callable[..., Scene], query: Query
) -> None:
    """Refused after each of four: but they were missing for some hours only."""
    here = scene(20)
    openid = here.vanish(7)
    for _ in range(4):
        here.sweep(hours=5)
        query("UPDATE quarantine SET next_try_at = first_failed_at")
    assert here.gone == {}
    here.sweep(hours=10)
    assert here.gone == {openid: "refused"}


def test_it_is_seen_everywhere(scene: Callable[..., Scene]) -> None:
    """status in words, unfollows in words and as JSON, metrics."""
    here = scene(60)
    openid, silent = here.vanish(7, 65302), here.account.openid(9)
    here.account.unfollow(silent)
    here.account.forget(silent)
    here.sweep()

    (line,) = (line for line in here.output("status").splitlines() if line.startswith("unanswered"))
    assert "2 missing from the list, of 1 of them WeChat refuses to speak" in line
    words = here.output("unfollows")
    assert "2 are missing from WeChat's list, and were asked about in vain; of 1" in words
    assert any(line.split()[:3] == [openid, "1", "65302"] for line in words.splitlines())
    output = json.loads(here.output("unfollows", "--json"))
    assert (output["candidates"], output["unanswered"], output["refused"]) == (0, 2, 1)
    (sample,) = (one for one in output["unanswered_sample"] if one["openid"] == openid)
    assert (sample["errcode"], sample["refusals"]) == (65302, 1)
    assert sample["next_try_at"] > sample["missed_since"]
    metrics = here.output("metrics")
    assert [line.split()[1] for line in metrics.splitlines() if "unfollows_refused{" in line] == [
        "1.0"
    ]

    here.sweep()  # user/info decides about OpenIDs that batches leave out
    assert here.gone == {silent: "answered"}


def test_listed_again_they_begin_again(scene: Callable[..., Scene], query: Query) -> None:
    """Two refusals, then listed, also by a sweep that is discarded: three more are needed."""
    here = scene(60)
    openid = here.vanish(7)
    for _ in range(2):
        here.sweep(hours=25)
    assert here.refused() == 1
    here.account.linger(openid)
    here.wechat.simulator.switches.total_off = 55
    here.sweep(75)
    here.wechat.simulator.switches.total_off = 0
    here.account.hide(openid)
    assert here.refused() == 0

    for _ in range(2):
        here.sweep(hours=25)
        assert here.gone == {}
    here.sweep(hours=25)
    assert here.gone == {openid: "refused"}


def test_an_answer_that_cannot_be_read_is_no_refusal(scene: Callable[..., Scene]) -> None:
    """Refused each time means that: what comes between begins the count again."""
    here = scene(60)
    openid = here.vanish(7)
    for _ in range(2):
        here.sweep(hours=25)
    here.account.refollow(openid)
    here.account.hide(openid)
    here.account.cure(openid)
    here.account.garble(openid)
    here.sweep(hours=200)
    assert here.refused() == 0
    here.account.refuse(openid)
    for _ in range(2):
        here.sweep(hours=200)
        assert here.gone == {}
    here.sweep(hours=200)
    assert here.gone == {openid: "refused"}


def test_an_answer_has_the_last_word(scene: Callable[..., Scene], query: Query) -> None:
    """An answer after two refusals decides."""
    here = scene(60)
    gone, there = here.vanish(7), here.vanish(8)
    here.account.refollow(there)
    here.account.hide(there)
    for _ in range(2):
        here.sweep(hours=25)
    here.account.cure(gone)
    here.account.cure(there)
    here.sweep(hours=25)
    assert here.gone == {gone: "answered"}
    assert query("SELECT count(*) FROM unfollow_candidates") == [(0,)]
    assert query("SELECT count(*) FROM quarantine") == [(0,)]


def test_approve_settles_what_it_covers(scene: Callable[..., Scene]) -> None:
    """More than the guard allows, and refused: after one approval no run ends with 6."""
    here = scene(400)
    for index in range(150):
        here.vanish(index, 50005)
    here.sweep(6)
    here.sweep(6)
    assert here.wechat.run("unfollows", "approve") == 0
    assert here.sweep() > 150
    assert here.refused() == 150
    for hours in (0, 25):
        here.sweep(hours=hours)
        assert here.wechat.run("status") == 0
    here.sweep(hours=25)
    assert len(here.gone) == 150


def test_new_ones_are_still_guarded(scene: Callable[..., Scene]) -> None:
    """An approval covers those who were missing, and nobody who is missing later."""
    here = scene(400)
    for index in range(150):
        here.vanish(index)
    here.sweep(6)
    here.wechat.run("unfollows", "approve")
    here.sweep()
    for index in range(150, 300):
        here.vanish(index)
    here.sweep(6)
    here.wechat.run("unfollows", "reject")
    assert here.refused() == 150
    here.sweep(6)


def test_listed_again_who_was_ended_returns(scene: Callable[..., Scene], query: Query) -> None:
    """One who was there all along never left; one who follows again has a second period."""
    here = scene(60)
    stayed, returned = here.account.openid(7), here.vanish(8)
    here.account.hide(stayed)
    here.account.refuse(stayed)
    for _ in range(3):
        here.sweep(hours=25)
    assert here.gone == {stayed: "refused", returned: "refused"}
    here.account.refollow(returned)
    for openid in (stayed, returned):
        here.account.show(openid)
        here.account.cure(openid)
    here.sweep(hours=1)

    assert here.gone == {}
    assert (
        query(
            "SELECT openid, unsubscribe_reason, unfollowed_before FROM followers "
            "WHERE unsubscribe_reason IS NOT NULL OR unfollowed_before IS NOT NULL"
        )
        == []
    )
    assert query("SELECT openid, unsubscribe_reason FROM past_follow_periods") == [
        (returned, "refused")
    ]
