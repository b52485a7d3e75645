"""Another account's follower list is recognised, and nothing of it is stored.

A second simulator plays the other account: its people, and tokens that are good for it alone.
"""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.conftest import World

pytestmark = pytest.mark.one_database

Worlds = Callable[..., World]
Query = Callable[..., list[Any]]

COUNTS = "SELECT count(*), sum(CASE WHEN subscribe THEN 1 ELSE 0 END) FROM followers"


def token_of(world: World) -> str:
    """Return a token of the world's account, as a token server would."""
    body = {
        "grant_type": "client_credential",
        "appid": world.simulator.appid,
        "secret": world.simulator.secret,
    }
    answer = requests.post(f"{world.url}/cgi-bin/stable_token", json=body, timeout=5)
    token: str = answer.json()["access_token"]
    return token


def mistake(own: World, other: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next runs of the own account use the other account's token."""
    own.set(
        SYNCJOB_API_URL=other.url,
        SYNCJOB_APPID=own.simulator.appid,
        SYNCJOB_TOKEN_SOURCE="fixed",
        SYNCJOB_ACCESS_TOKEN=token_of(other),
        SYNCJOB_SWEEP_EVERY="0",
    )


def correct(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next runs use the account's own credentials again."""
    monkeypatch.delenv("SYNCJOB_ACCESS_TOKEN")
    own.set(
        SYNCJOB_API_URL=own.url,
        SYNCJOB_APPSECRET=own.simulator.secret,
        SYNCJOB_TOKEN_SOURCE="stable",
    )


@pytest.mark.parametrize("concurrency", ["1", "8"])
@pytest.mark.parametrize(("own_count", "other_count"), [(80, 80), (3_000, 3_000), (1, 1), (5, 300)])
def test_nothing_of_another_accounts_list_is_stored(
    world: Worlds,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own_count: int,
    other_count: int,
    concurrency: str,
) -> None:
    """A list that shares nobody with the followers ends the run with 3, after one list call."""
    own = world(own_count)
    own.set(SYNCJOB_CONCURRENCY=concurrency)
    assert own.run("sync") == 0
    before = query("SELECT * FROM followers ORDER BY openid")
    other = world(other_count, seed=2, page_size=1_000)
    mistake(own, other, monkeypatch)

    assert own.run("sync") == 3

    said = capsys.readouterr().err
    assert "the follower list of another account" in said
    assert "SYNCJOB_ACCESS_TOKEN" in said
    assert query("SELECT * FROM followers ORDER BY openid") == before
    assert other.simulator.count("user/get") <= 2  # the next page may be on its way
    assert other.simulator.count("user/info/batchget") == 0

    correct(own, monkeypatch)
    assert own.run("sync") == 0
    assert query(COUNTS) == [(own_count, own_count)]


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_a_token_of_another_account_in_the_middle_of_a_first_sync_is_noticed(
    world: Worlds, query: Query, monkeypatch: pytest.MonkeyPatch, concurrency: str
) -> None:
    """Pages after the first one may bring new people only; that they begin otherwise is a sign."""
    own = world(3_000, page_size=1_000)
    own.set(SYNCJOB_CONCURRENCY=concurrency)
    assert own.run("sync", "--max-pages", "1") == 0
    other = world(3_000, seed=2, page_size=1_000)
    # The other account's list is not refused for a cursor that is none of its people.
    other.simulator.switches.loop = "page-one"
    mistake(own, other, monkeypatch)

    assert own.run("sync") == 3
    assert query(COUNTS) == [(1_000, 1_000)]


def test_the_list_of_an_account_that_lost_all_of_its_few_followers_is_its_own(
    world: Worlds, query: Query
) -> None:
    """Nobody of it is known, and its OpenIDs begin as the stored ones do."""
    own = world(5)
    own.set(SYNCJOB_SWEEP_EVERY="0")
    assert own.run("sync") == 0
    for index in range(5):
        own.account.unfollow(own.account.openid(index))
    own.account.follow(7)

    assert own.run("sync") == 0
    assert query(COUNTS) == [(12, 7)]


def test_a_small_account_that_grows_fast_keeps_its_list(world: Worlds, query: Query) -> None:
    """A first page that shares nobody proves nothing where it need not hold a follower."""
    own = world(12, page_size=100)
    own.set(SYNCJOB_SWEEP_EVERY="0")
    assert own.run("sync") == 0
    own.account.follow(6_000)

    assert own.run("sync") == 0
    assert query(COUNTS) == [(6_012, 6_012)]


def test_a_list_that_is_right_all_the_same_is_believed_on_request(
    world: Worlds, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--accept-list stores the list; the followers that it lacks are asked about as ever."""
    own = world(80)
    assert own.run("sync") == 0
    other = world(80, seed=2)
    mistake(own, other, monkeypatch)

    own.run("sync", "--accept-list")
    assert query(COUNTS)[0][0] == 160


def test_a_copied_row_of_access_tokens_is_used_once(
    world: Worlds, query: Query, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the table; the run after it fetches a token of the account's own."""
    own = world(80)
    assert own.run("sync") == 0
    other = world(80, seed=2)
    query("UPDATE access_tokens SET access_token = :token", token=token_of(other))
    own.set(
        SYNCJOB_API_URL=other.url,
        SYNCJOB_APPID=own.simulator.appid,
        SYNCJOB_APPSECRET=own.simulator.secret,
        SYNCJOB_SWEEP_EVERY="0",
    )
    assert own.run("sync") == 3
    assert "the table access_tokens" in capsys.readouterr().err

    own.set(SYNCJOB_API_URL=own.url)
    assert own.run("sync") == 0
    assert query(COUNTS) == [(80, 80)]


@pytest.mark.parametrize("command", ["doctor", "plan"])
def test_doctor_and_plan_recognise_it_too(
    world: Worlds,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    """Both say so in the same sentence, and name the token's source."""
    own = world(80)
    assert own.run("sync") == 0
    mistake(own, world(80, seed=2), monkeypatch)
    capsys.readouterr()

    assert own.run(command) == {"doctor": 1, "plan": 3}[command]
    output = "".join(capsys.readouterr())
    assert "the follower list of another account" in output
    assert "SYNCJOB_ACCESS_TOKEN" in output


def test_status_and_doctor_show_how_openids_begin(
    world: Worlds, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first sync has nothing to compare with, so that a person may compare the prefix."""
    own = world(20)
    prefix = own.account.openid(0)[:6]
    own.run("doctor")
    assert f"its OpenIDs begin with {prefix}" in capsys.readouterr().out
    assert own.run("sync") == 0
    assert own.run("status") == 0
    assert f"OpenIDs begin with {prefix}" in capsys.readouterr().out
