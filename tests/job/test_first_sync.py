"""An account's first sync: pages wait for the answers about their people, who are written once."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from syncjob.database.store import Store
from syncjob.errors import RunLost
from syncjob.job.job import Plan
from syncjob.model.accounts import Account
from syncjob.model.answers import Answers, AnswersSaved, Refusal
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Run, Traffic
from syncjob.model.sweeps import Allowance, HeldPages, Sweep
from syncjob.model.user_info import UserInfo
from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]


def count_writes(query: Query, database_url: str) -> None:
    """Have each row of followers that is written, and what that did, noted in `writes`."""
    query("CREATE TABLE writes (what TEXT, openid TEXT)")
    if database_url.startswith("sqlite"):
        for what in ("INSERT", "UPDATE"):
            query(
                f"CREATE TRIGGER note_{what} AFTER {what} ON followers BEGIN "
                f"INSERT INTO writes VALUES ('{what}', NEW.openid); END"
            )
        return
    query(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO writes VALUES (TG_OP, NEW.openid); RETURN NULL; END $$"
    )
    query(
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON followers "
        "FOR EACH ROW EXECUTE FUNCTION note()"
    )


@pytest.mark.parametrize("concurrency", [8, 32])
def test_each_follower_is_written_once(
    world: Callable[..., World], query: Query, database_url: str, concurrency: int
) -> None:
    """A follower answered about in time has one INSERT, and the row is not written again."""
    wechat = world(2_300, page_size=500)
    wechat.set(SYNCJOB_CONCURRENCY=str(concurrency))
    count_writes(query, database_url)

    assert wechat.run("sync") == 0

    assert query("SELECT what, count(*) FROM writes GROUP BY what") == [("INSERT", 2_300)]
    assert query("SELECT first_page, count(*) FROM followers GROUP BY 1 ORDER BY 1") == [
        (page, 500 if page < 5 else 300) for page in range(1, 6)
    ]
    assert query("SELECT new, openids, enriched FROM runs") == [(2_300,) * 3]
    assert_equals_truth(database_url, wechat.simulator)


def test_a_later_sweep_stores_its_pages_first(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """Where nearly everybody is known already, a page waits for nobody."""
    wechat = world(300, page_size=100)
    assert wechat.run("sync") == 0
    wechat.account.follow(50)
    wechat.set(SYNCJOB_SWEEP_EVERY="0s")
    count_writes(query, database_url)

    assert wechat.run("sync") == 0

    assert query("SELECT what, count(*) FROM writes GROUP BY what ORDER BY what") == [
        ("INSERT", 50),
        ("UPDATE", 50),
    ]


def test_whom_no_answer_adds_the_page_adds(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """Left out of an answer, refused, and gone by now: each has a row, counted as new once."""
    wechat = world(300, page_size=100)
    left_out, refused, gone = (wechat.account.openid(n) for n in (5, 110, 210))
    wechat.account.forget(left_out)
    wechat.account.poison(refused)
    # Listed still, and called unfollowed by user/info.
    wechat.account.linger(gone)
    wechat.account.unfollow(gone)

    wechat.run("sync")

    assert query("SELECT count(*) FROM followers") == [(300,)]
    assert query("SELECT new, openids FROM runs") == [(300, 300)]
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [(gone,)]
    assert query("SELECT openid FROM quarantine") == [(refused,)]
    unenriched = query("SELECT openid FROM followers WHERE enriched_at IS NULL ORDER BY openid")
    assert unenriched == sorted([(left_out,), (refused,)])


def test_a_slow_answer_holds_no_page_up(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """While one batch waits, its page is stored, with bare rows for its people; so are the next."""
    wechat = world(1_000, page_size=200)
    seen: list[Any] = []
    slow = 3

    def look(request: Any) -> None:
        if request.endpoint == "user/get" and wechat.simulator.count("user/get") == 6:
            seen.append(query("SELECT pages FROM sweeps")[0][0])
            seen.append(query("SELECT count(*) FROM followers WHERE enriched_at IS NULL")[0][0])

    wechat.simulator.on_request = look
    wechat.simulator.faults.add(f"user/info/batchget=slow-1500@{slow}")

    wechat.run_job(plan=Plan(concurrency=8, hold_seconds=0.05))

    pages, bare = seen
    assert pages >= 4  # the fifth may wait for its answers
    assert bare >= 100
    assert_equals_truth(database_url, wechat.simulator)
    assert query("SELECT new, enriched FROM runs") == [(1_000, 1_000)]


def test_a_used_up_quota_leaves_the_list_whole(
    world: Callable[..., World], query: Query, database_url: str
) -> None:
    """When nobody can be asked any more, pages wait for no answer, and store all they list."""
    wechat = world(1_000, page_size=200)
    wechat.simulator.faults.add("user/info/batchget=45009@3-")

    assert wechat.run("sync") == 75

    assert query("SELECT count(*) FROM followers") == [(1_000,)]
    assert query("SELECT status, pages, openids FROM sweeps") == [("sealed", 5, 1_000)]
    assert query("SELECT new FROM runs") == [(1_000,)]
    wechat.simulator.faults.clear()
    assert wechat.run("quota", "forget") == 0
    assert wechat.run("sync") == 0
    assert_equals_truth(database_url, wechat.simulator)


# --- step by step ----------------------------------------------------------------------------


class Steps:
    """A run with an open first sweep, and its held pages."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.account: Account = store.accounts.save("wx1")
        self.run: Run = self.begin()
        self.sweep: Sweep = store.sweeps.start(self.run.id, self.account.id)

    def begin(self) -> Run:
        """Start a run; the one before is dead."""
        return self.store.runs.start(
            self.account.id,
            "sync",
            holder="me",
            abandon_after=timedelta(minutes=3),
            is_dead=lambda holder: True,
        )

    def answer(self, pages: dict[str, int], answers: Answers) -> AnswersSaved:
        """Store answers about people of held pages."""
        held = HeldPages(self.sweep.id, pages)
        return self.store.followers.save_answers(
            self.run.id, self.account.id, answers, Traffic(), held=held
        )

    def page(self, *openids: str, rest: Sequence[str] | None = None) -> Any:
        """Store a page."""
        page = FollowerPage(openids, openids[-1], None)
        saved = self.store.sweeps.save_page(self.run.id, self.sweep, page, Traffic(), rest=rest)
        self.sweep = saved.sweep
        return saved


@pytest.fixture
def steps(store: Store) -> Steps:
    """A run that has begun to sweep."""
    return Steps(store)


def following(*openids: str) -> Answers:
    """WeChat's answer: these follow."""
    return Answers(following=[UserInfo(openid, 1, nickname=openid) for openid in openids])


def test_a_page_counts_whom_answers_have_added(steps: Steps) -> None:
    """New to the database, new to the sweep, and a cursor among them leads nowhere back."""
    steps.answer({"a": 1, "b": 1, "c": 1}, following("a", "c"))

    saved = steps.page("a", "b", "c", rest=["b"])

    assert (saved.fresh, saved.new, saved.returned, saved.led_back) == (3, 3, 0, False)
    assert list(saved.due) == ["b"]


def test_of_a_large_page_everybody_is_known(steps: Steps) -> None:
    """However few are looked up at a time: those who are stored, and who of them is due."""
    people = [f"o{n:05}" for n in range(10_000)]
    steps.page(*people[::3])
    steps.answer({}, following(*people[::300]))

    known = steps.store.followers.get_known(steps.account.id, people)

    assert known == {openid: openid not in people[::300] for openid in people[::3]}


def test_an_answer_that_comes_while_its_page_is_stored_is_counted_once(steps: Steps) -> None:
    """The page finds a row where it knew of none."""
    steps.answer({"a": 1, "b": 1}, following("a", "b"))

    saved = steps.page("a", "b", "c", rest=["a", "b", "c"])

    assert (saved.fresh, saved.new) == (3, 3)
    assert list(saved.due) == ["c"]


def test_who_was_there_already_is_told(steps: Steps, query: Query) -> None:
    """Whatever the answer says; and who comes with it is added all the same."""
    steps.page("a", "b", "c")
    people = {"a": 2, "b": 2, "c": 2, "d": 2, "e": 2}
    answers = following("a", "d")
    answers.gone.extend(["b", "e"])
    answers.refused.append(Refusal("c", 40003, "refused"))

    saved = steps.answer(people, answers)

    assert sorted(saved.known) == ["a", "b", "c"]
    assert query("SELECT openid, first_page, subscribe FROM followers ORDER BY openid") == [
        ("a", 1, True),
        ("b", 1, False),
        ("c", 1, True),
        ("d", 2, True),
        ("e", 2, False),
    ]


def test_who_was_there_already_is_told_beside_a_conflict(steps: Steps, query: Query) -> None:
    """Two answers with one unionid are put aside; a third one's person is found to be known."""
    steps.page("a")
    shared = [UserInfo(openid, 1, unionid="u") for openid in "bc"]

    saved = steps.answer({"a": 2, "b": 2, "c": 2}, Answers([UserInfo("a", 1), *shared]))

    assert saved.known == ["a"]
    assert [conflict.openid for conflict in saved.conflicts] == ["b", "c"]
    assert query("SELECT openid, first_page FROM followers") == [("a", 1)]


@pytest.mark.parametrize("case", ["follows", "left out", "refused", "left"])
@pytest.mark.parametrize("some", [1, 1_000])
def test_who_is_listed_by_each_page_is_counted_once(
    world: Callable[..., World],
    query: Query,
    case: str,
    some: int,
) -> None:
    """Looked up with their page, or found when it is answered that they are there."""
    wechat = world(1_000, page_size=100, repeat_first=True)
    first = wechat.account.openid(0)
    if case == "left out":
        wechat.account.forget(first)
    elif case == "refused":
        wechat.account.poison(first)
    elif case == "left":
        wechat.account.linger(first)
        wechat.account.unfollow(first)

    wechat.run_job(plan=Plan(concurrency=8, lookup_sample=some))

    assert query("SELECT count(*) FROM followers") == [(1_000,)]
    enriched = 1_000 if case in ("follows", "left") else 999
    assert query("SELECT new, enriched FROM runs") == [(1_000, enriched)]
    assert query("SELECT status, pages, openids FROM sweeps") == [("sealed", 10, 1_000)]
    assert query("SELECT first_page, count(*) FROM followers GROUP BY 1 ORDER BY 1") == [
        (page, 100) for page in range(1, 11)
    ]
    of_first = query("SELECT openid FROM followers WHERE enriched_at IS NULL OR NOT subscribe")
    assert of_first == ([] if case == "follows" else [(first,)])
    assert query("SELECT count(*) FROM quarantine") == [(int(case == "refused"),)]


@pytest.mark.parametrize("switch", [{"repeat_first": True}, {"cursor": "inclusive"}])
def test_who_is_listed_twice_by_a_later_sweep_is_counted_once(
    world: Callable[..., World], query: Query, switch: dict[str, Any]
) -> None:
    """A page's rows are inserted plainly, and with care where the sweep has seen somebody."""
    wechat = world(500, page_size=100, **switch)
    wechat.set(SYNCJOB_SWEEP_EVERY="0s")

    assert wechat.run("sync") == 0
    assert wechat.run("sync") == 0

    assert query("SELECT status, openids FROM sweeps ORDER BY id") == [("sealed", 500)] * 2
    assert query("SELECT count(*) FROM sweep_openids") == [(0,)]
    assert query("SELECT count(*) FROM unfollow_candidates") == [(0,)]


def test_a_list_that_starts_again_asks_about_nobody_again(world: Callable[..., World]) -> None:
    """Some of a page are looked up, so that it shows."""
    wechat = world(500, page_size=100, loop="restart")

    assert wechat.run("sync") == 75

    assert wechat.simulator.count("user/info/batchget") == 5
    assert wechat.simulator.count("user/get") == 6


def test_an_answer_that_comes_after_its_page_is_stored_fills_the_row(
    steps: Steps, query: Query
) -> None:
    """What it would have added is there by then, of one or of all; nothing of it is lost."""
    steps.page("a", "b", rest=["a"])
    steps.answer({"a": 1, "b": 1}, following("a", "b"))

    assert query("SELECT openid, nickname, first_page FROM followers ORDER BY openid") == [
        ("a", "a", 1),
        ("b", "b", 1),
    ]
    assert query("SELECT enriched FROM runs") == [(2,)]


def test_who_is_on_two_held_pages_is_of_the_first(steps: Steps, query: Query) -> None:
    """The second one has seen them before."""
    steps.answer({"a": 1, "b": 1, "c": 2}, following("a", "b", "c"))
    first = steps.page("a", "b", rest=[])
    second = steps.page("b", "c", rest=["b"])

    assert (first.fresh, second.fresh, second.new) == (2, 1, 1)
    assert query("SELECT openid, first_page FROM followers ORDER BY openid") == [
        ("a", 1),
        ("b", 1),
        ("c", 2),
    ]


def test_whom_an_answer_calls_gone_the_page_does_not_bring_back(steps: Steps, query: Query) -> None:
    """The list is no newer than the answer; they have a row, and are not asked about again."""
    steps.answer({"a": 1, "b": 1}, Answers(gone=["a"], refused=[Refusal("b", 40003, "refused")]))

    saved = steps.page("a", "b")

    assert (saved.new, saved.returned, list(saved.due)) == (2, 0, [])
    assert query("SELECT openid FROM followers WHERE NOT subscribe") == [("a",)]
    assert query("SELECT openid FROM quarantine") == [("b",)]


def test_after_a_crash_the_page_that_lists_them_counts_them(steps: Steps, query: Query) -> None:
    """Answers had added people of two pages that were never stored; now these begin elsewhere."""
    steps.answer({"a": 1, "b": 1, "c": 2, "d": 2, "e": 2}, following("a", "b", "c", "d", "e"))
    steps.run = steps.begin()
    steps.store.sweeps.resume(steps.run.id, steps.sweep)

    first = steps.page("a", "c")
    second = steps.page("b", "d")
    third = steps.page("d", "c")

    assert [(saved.fresh, saved.new) for saved in (first, second, third)] == [
        (2, 2),
        (2, 2),
        (0, 0),
    ]
    assert [list(saved.due) for saved in (first, second)] == [[], []]
    # Whom no page has listed is asked about at the end.
    sealed = steps.store.sweeps.seal(steps.run.id, steps.sweep, Allowance(100, 1))
    assert sealed.candidates == 1
    assert query("SELECT openid FROM unfollow_candidates") == [("e",)]


def test_a_run_that_was_overtaken_adds_nobody(steps: Steps, query: Query) -> None:
    """Its answers about held pages come too late."""
    late = steps.run
    steps.run = steps.begin()

    with pytest.raises(RunLost):
        steps.store.followers.save_answers(
            late.id,
            steps.account.id,
            following("a"),
            Traffic(),
            held=HeldPages(steps.sweep.id, {"a": 1}),
        )
    assert query("SELECT count(*) FROM followers") == [(0,)]


def test_two_transactions_that_add_the_same_people_do_not_block_each_other(
    steps: Steps, query: Query, caplog: pytest.LogCaptureFixture
) -> None:
    """A page and a group of answers meet, in contrary orders: one waits, and neither is undone."""
    caplog.set_level("INFO", logger="syncjob.database")
    people = [f"o{number:05}" for number in range(4_000)]
    pages = dict.fromkeys(people, 1)
    failed: list[BaseException] = []

    def answer() -> None:
        try:
            steps.answer(pages, following(*reversed(people)))
        except BaseException as error:  # noqa: BLE001 - it is what is asked
            failed.append(error)

    thread = threading.Thread(target=answer)
    thread.start()
    saved = steps.page(*people)
    thread.join()

    assert failed == []
    assert caplog.messages == []
    assert (saved.fresh, saved.new) == (4_000, 4_000)
    assert query("SELECT count(*) FROM followers WHERE nickname IS NOT NULL") == [(4_000,)]
