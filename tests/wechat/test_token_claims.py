"""Many processes and threads need another token at once: one is fetched, the newest is kept."""

import multiprocessing
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncjob.bootstrap import open_job
from syncjob.config import open_settings
from syncjob.database.store import Store, open_store
from syncjob.database.tokens import CLAIM
from syncjob.errors import WeChatUnavailable
from syncjob.model.replies import AccessToken, TokenClaim
from syncjob.wechat.tokens import CLAIM_POLL, CLAIM_TIMEOUT, Tokens
from tests.conftest import World
from tests.wechat.test_tokens import REJECTED, Shelf

Query = Callable[..., list[Any]]
TOKEN = AccessToken("new", 7200)


def claimed(store: Store, rejected: str | None = None, holder: str = "me") -> TokenClaim:
    """Claim a token of the first account."""
    account = store.accounts.save("wx1")
    return store.tokens.claim(account.id, rejected=rejected, holder=holder, is_dead="dead".__eq__)


def saved(store: Store, value: str, generation: int | None) -> str:
    """Store a token by such a claim; return which one is to be used."""
    assert generation is not None
    return store.tokens.save(store.accounts.save("wx1").id, AccessToken(value, 7200), generation)


def test_one_process_fetches_and_the_others_use_its_token(store: Store) -> None:
    """The claim of the first makes the others wait until there is a token."""
    mine = claimed(store)
    assert mine.token is None
    assert claimed(store, holder="another") == TokenClaim()
    assert saved(store, "new", mine.generation) == "new"
    assert claimed(store, holder="another") == TokenClaim(token="new")
    assert claimed(store, rejected="new", holder="another").generation is not None


def test_a_claim_without_a_token_does_not_block_others(store: Store) -> None:
    """It was given up, its process is dead, or it has expired."""
    mine = claimed(store)
    assert mine.generation is not None
    store.tokens.give_up(store.accounts.save("wx1").id, mine.generation)
    assert claimed(store, holder="dead").generation == mine.generation + 1
    assert claimed(store).generation == mine.generation + 2


@pytest.mark.parametrize("leap", [CLAIM + timedelta(seconds=1), -timedelta(days=1)])
def test_a_claim_expires_whatever_the_clock_does(database_url: str, leap: timedelta) -> None:
    """A clock that is set back by a day does not block others for a day."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with open_store(database_url, clock=lambda: now) as store:
        assert claimed(store).generation == 1
        assert claimed(store, holder="another") == TokenClaim()
        now += leap
        assert claimed(store, holder="another").generation == 2


def test_a_late_writer_of_an_older_token_loses(store: Store, query: Query) -> None:
    """A process whose claim was taken over stores nothing, and uses the newer token."""
    slow, fast = claimed(store, holder="dead"), claimed(store)
    assert saved(store, "newer", fast.generation) == "newer"
    assert saved(store, "older", slow.generation) == "newer"
    assert query("SELECT access_token, generation FROM access_tokens") == [("newer", 2)]


def test_a_token_that_cannot_be_fetched_is_no_longer_claimed(store: Store) -> None:
    """A failure leaves no claim behind."""
    shelf, given_up = Shelf(), list[int]()
    shelf.give_up = given_up.append  # type: ignore[method-assign]

    class Source:
        shared = True

        def get_new(self) -> AccessToken:
            raise WeChatUnavailable("busy")

    with pytest.raises(WeChatUnavailable):
        Tokens(Source(), shelf).get()
    assert given_up == [1]


def test_the_wait_for_another_process_is_limited() -> None:
    """After a minute a token is fetched anyway, and does not overwrite another's."""

    class Busy(Shelf):
        def claim(self, rejected: str | None) -> TokenClaim:
            return TokenClaim()

        def save(self, token: AccessToken, generation: int) -> str:
            raise AssertionError("stored without a claim")

    class Source:
        shared = True

        def get_new(self) -> AccessToken:
            return TOKEN

    naps: list[float] = []
    assert Tokens(Source(), Busy(), sleep=naps.append).replace("old", REJECTED) == "new"
    assert sum(naps) == pytest.approx(CLAIM_TIMEOUT)
    assert set(naps) == {CLAIM_POLL}


def ask(go: Any, said: Any) -> None:
    """Be one of sixteen processes whose token is refused."""
    with open_job(open_settings().job()) as job:
        go.wait()
        job.client.get_followers("")
        said.put(job.client.traffic.calls)


def test_sixteen_processes_that_meet_an_expired_token_fetch_one(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them go on with the token that the first of them has fetched."""
    wechat = world(10)
    assert wechat.run("sync") == 0
    before = wechat.simulator.count("stable_token")
    wechat.simulator.kill_tokens()
    fork = multiprocessing.get_context("spawn")
    go, said = fork.Barrier(16), fork.Queue()
    processes = [fork.Process(target=ask, args=(go, said)) for _ in range(16)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 16
    assert wechat.simulator.count("stable_token") == before + 1


def test_threads_that_meet_an_expired_token_fetch_one(world: Callable[..., World]) -> None:
    """The same within one process."""
    wechat = world(10)
    assert wechat.run("sync") == 0
    before = wechat.simulator.count("stable_token")
    wechat.simulator.kill_tokens()
    go = threading.Barrier(16)
    with open_job(open_settings().job()) as job:

        def call() -> None:
            go.wait(20)
            job.client.get_followers("")

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wechat.simulator.count("stable_token") == before + 1
