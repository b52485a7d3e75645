"""The loop: so many calls out at a time, nothing held up, nothing lost, memory flat."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from syncjob.errors import QuotaExhausted, RunLost
from syncjob.job.ask import Asker, ask
from syncjob.job.job import Bounds, Job, Plan, Tally
from syncjob.job.loop import GROUP, MOST_UNSTORED, AskLoop
from syncjob.job.workers import Workers
from syncjob.model.answers import Answers, AnswersSaved
from syncjob.model.user_info import UserInfo
from syncjob.simulator import Request
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
LONG = 20.0  # seconds; nothing below waits that long unless it fails


class WeChat:
    """Answers what `answer` says to each batch, and counts how many are out."""

    def __init__(self, answer: Callable[[Sequence[str]], None] = lambda openids: None) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.out = self.most_out = self.calls = 0

    def get_user_infos(self, openids: Sequence[str]) -> list[UserInfo]:
        """Return a follower for each."""
        with self._lock:
            self.calls += 1
            self.out += 1
            self.most_out = max(self.most_out, self.out)
        try:
            self._answer(openids)
        finally:
            with self._lock:
                self.out -= 1
        return [UserInfo(openid, 1) for openid in openids]


class Shelf:
    """Keeps what is stored, group by group; `before` is called in the thread that stores."""

    def __init__(self, before: Callable[["Shelf"], None] = lambda shelf: None) -> None:
        self._before = before
        self.groups: list[list[str]] = []

    def saving(self, answers: Answers, *, confirmed: bool) -> Callable[[], AnswersSaved]:
        """Return what stores a group."""

        def save() -> AnswersSaved:
            self._before(self)
            self.groups.append([info.openid for info in answers.following])
            return AnswersSaved([], [])

        return save

    def saved(self, answers: Answers, saved: AnswersSaved) -> None:
        """Take no note."""

    @property
    def openids(self) -> list[str]:
        """All of them, sorted."""
        return sorted(openid for group in self.groups for openid in group)


def people(count: int) -> list[str]:
    """Return distinct OpenIDs."""
    return [f"o{number:07}" for number in range(count)]


@contextmanager
def opened(
    wechat: WeChat, shelf: Shelf, concurrency: int, batch_size: int = 100
) -> Iterator[AskLoop[Any]]:
    """Open a loop with two threads that store."""
    plan = Plan(concurrency=concurrency, batch_size=batch_size)
    nothing: Any = None
    asker = Asker(wechat)  # type: ignore[arg-type]
    workers = Workers(calls=concurrency, writers=2, beat=lambda: None, beat_every=60)
    with workers:
        parts = (nothing, nothing, asker, workers, nothing, nothing, plan)
        with AskLoop(Job(*parts, Bounds(plan), Tally(1)), shelf) as loop:
            yield loop


def chunks(openids: list[str]) -> Iterator[tuple[Sequence[str], Any]]:
    """Yield the OpenIDs as they are read from the database."""
    for start in range(0, len(openids), 10_000):
        yield openids[start : start + 10_000], ask


@pytest.mark.parametrize("concurrency", [1, 2, 8, 32])
def test_everybody_is_asked_about_once_and_stored_in_groups(concurrency: int) -> None:
    """No OpenID is lost or doubled, and no more calls are out than are allowed."""
    wechat, shelf = WeChat(), Shelf()
    with opened(wechat, shelf, concurrency) as loop:
        loop.run(chunks(people(30_050)))

    assert shelf.openids == people(30_050)
    assert wechat.calls == 301
    assert wechat.most_out <= concurrency
    assert max(map(len, shelf.groups)) < GROUP + 100


def test_nobody_is_asked_about_twice_at_a_time() -> None:
    """A list that repeats someone does not bring two answers, the older of which is stored last."""
    wechat, shelf = WeChat(), Shelf()
    with opened(wechat, shelf, 8, batch_size=2) as loop:
        loop.put(["oA", "oB"])
        loop.put(["oB", "oC"])
        loop.flush()
        assert shelf.openids == ["oA", "oB", "oC"]
        loop.put(["oB"])  # is another question, once the first is answered

    assert shelf.openids == ["oA", "oB", "oB", "oC"]


def test_as_many_calls_are_out_as_are_allowed() -> None:
    """Eight batches meet at WeChat before any is answered."""
    together = threading.Barrier(8, timeout=LONG)
    with opened(WeChat(lambda openids: together.wait() and None), shelf := Shelf(), 8) as loop:
        loop.put(people(800))

    assert shelf.openids == people(800)


def test_a_slow_call_holds_up_no_other() -> None:
    """While one batch waits for its answer, all the others are asked about and stored."""
    first, others_done = people(100)[0], threading.Event()

    def slow(openids: Sequence[str]) -> None:
        if openids[0] == first:
            assert others_done.wait(LONG)

    class Others(Shelf):
        def saved(self, answers: Answers, saved: AnswersSaved) -> None:
            if len(self.openids) == 4_900:
                others_done.set()

    shelf = Others()
    with opened(WeChat(slow), shelf, 2) as loop:
        loop.put(people(5_000))

    assert shelf.openids == people(5_000)


def test_nobody_is_asked_about_while_nothing_can_be_stored() -> None:
    """A database that hangs stops the calls and the reading, so that memory stays flat."""
    go_on, wechat = threading.Event(), WeChat()
    shelf = Shelf(lambda shelf: None if go_on.wait(LONG) else pytest.fail("too long"))
    read: list[int] = []

    def reading() -> Iterator[tuple[Sequence[str], Any]]:
        for chunk in chunks(people(60_000)):
            read.append(len(chunk[0]))
            yield chunk

    with opened(wechat, shelf, 4) as loop:
        runner = threading.Thread(target=loop.run, args=(reading(),), daemon=True)
        runner.start()
        runner.join(1)
        assert runner.is_alive(), "60 000 OpenIDs found room"
        assert wechat.calls * 100 <= MOST_UNSTORED + 4 * 100
        assert sum(read) <= 30_000
        go_on.set()
        runner.join(LONG)

    assert shelf.openids == people(60_000)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_what_was_answered_before_a_failure_is_stored(concurrency: int) -> None:
    """A used-up quota ends the asking, not the storing of what came before it."""
    before = threading.Barrier(3 if concurrency > 1 else 1, timeout=LONG)

    def refuse(openids: Sequence[str]) -> None:
        if openids[0] in ("o0000000", "o0000100"):
            before.wait()
        if openids[0] == "o0000200":
            before.wait()
            raise QuotaExhausted("45009", errcode=45009)

    shelf = Shelf()
    with pytest.raises(QuotaExhausted), opened(WeChat(refuse), shelf, concurrency) as loop:
        loop.put(people(300))

    assert shelf.openids == people(200)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_failure_to_store_ends_it(concurrency: int) -> None:
    """A run that lost its row asks about nobody any more."""

    def lose(shelf: Shelf) -> None:
        raise RunLost("it is another's now")

    wechat = WeChat()
    with pytest.raises(RunLost), opened(wechat, Shelf(lose), concurrency) as loop:
        loop.run(chunks(people(1_000_000)))
    assert wechat.calls < 1_000


def test_profiles_are_fetched_while_the_list_goes_on(world: Callable[..., World]) -> None:
    """While WeChat takes its time over a page, those of the pages before are asked about."""
    wechat = world(2_000, page_size=100)
    wechat.simulator.faults.add("user/get=slow-1000@10")

    assert wechat.run("sync") == 0

    order = [request.endpoint for request in wechat.simulator.requests]
    last_page = len(order) - 1 - order[::-1].index("user/get")
    assert order.index("user/info/batchget") < last_page
    assert order.count("user/info/batchget") == 20


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_a_failure_of_enrichment_does_not_end_the_list(
    world: Callable[..., World], query: Query, concurrency: str
) -> None:
    """Where no profile can be fetched, everybody is listed all the same, and the sweep sealed."""
    wechat = world(1_000, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    wechat.simulator.faults.add("user/info/batchget=45009")

    assert wechat.run("sync") == 75

    assert query("SELECT count(*), count(enriched_at) FROM followers") == [(1_000, 0)]
    assert query("SELECT status, openids FROM sweeps") == [("sealed", 1_000)]
    assert query("SELECT status, errcode FROM runs") == [("failed", 45009)]


def test_whoever_is_left_out_is_asked_about_once_a_run(
    world: Callable[..., World], query: Query
) -> None:
    """A missing entry is not asked for again and again; the next run does it."""
    wechat = world(300)
    wechat.account.forget(wechat.account.openid(7))
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.extend(request.openids)

    wechat.simulator.on_request = note
    assert wechat.run("sync") == 0

    # Once with its batch; the rest of the batch is asked about again without it.
    assert asked.count(wechat.account.openid(7)) == 1
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(1,)]


def test_a_list_that_starts_over_waits_for_what_was_asked_before(
    world: Callable[..., World], query: Query
) -> None:
    """An answer from before a sweep must not vouch for followers that the sweep did not list."""
    wechat = world(100, page_size=50)
    wechat.set(SYNCJOB_BATCH_SIZE="10")
    wechat.simulator.faults.add("user/get=40003@2")
    wechat.simulator.faults.add("user/info/batchget=slow-100@1-5")
    stored: list[Any] = []

    def look(request: Request) -> None:
        if request.endpoint == "user/get" and wechat.simulator.count("user/get") == 3:
            stored.extend(query("SELECT count(*), count(enriched_at) FROM followers"))

    wechat.simulator.on_request = look
    assert wechat.run("sync") == 0

    assert stored == [(50, 50)]
    assert query("SELECT status FROM sweeps ORDER BY id") == [("discarded",), ("sealed",)]
