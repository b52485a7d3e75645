"""`syncjob accounts`: what accounts a database holds, and one removed with all that is of it."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, select

from syncjob.database import removal
from syncjob.database.store import Store, open_store
from syncjob.database.tables import accounts, metadata
from syncjob.errors import Interrupted, RunInProgress, Stopped
from syncjob.job.process import this_process
from syncjob.job.removal import remove_account
from syncjob.job.run import ABANDON_AFTER
from syncjob.model.accounts import Account
from tests.conftest import World

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
# The tables that `busy_life` leaves rows in. That a new one is emptied is tested without it.
LIVED_IN = {
    *("access_tokens", "accounts", "api_calls", "api_errors", "followers", "notices"),
    *("past_follow_periods", "quarantine", "quotas", "runs", "sweep_openids", "sweeps"),
    "unfollow_candidates",
}


def rows(url: str) -> dict[str, list[str]]:
    """Return all rows of all tables, as texts."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
        }
    engine.dispose()
    return found


def busy_life(wechat: World) -> None:
    """Let an account leave rows wherever runs leave any."""
    wechat.set(SYNCJOB_SWEEP_EVERY="0", SYNCJOB_ON_FAILURE="true", SYNCJOB_MAX_UNFOLLOW="1,1%")
    everybody = list(wechat.account.openids())
    wechat.account.poison(everybody[0])  # quarantine
    assert wechat.run("sync") == 0
    wechat.account.unfollow(everybody[1])
    assert wechat.run("sync") == 0
    wechat.account.refollow(everybody[1])  # past_follow_periods
    wechat.simulator.faults.add("user/info/batchget=48001")  # api_errors, notices
    assert wechat.run("sync") == 3
    wechat.simulator.faults.clear()
    for openid in everybody[2:20]:
        wechat.account.unfollow(openid)
    assert wechat.run("sync") == 6  # unfollow_candidates
    assert wechat.run("sync", "--max-pages", "1") == 6  # an open sweep, and sweep_openids


@pytest.fixture
def two(world: Callable[..., World], query: Query, database_url: str) -> Callable[[], Any]:
    """Two accounts in one database: what it held with the first alone, and both worlds."""

    def start() -> tuple[World, World, dict[str, list[str]]]:
        other = world(30, seed=2, page_size=10)
        busy_life(other)
        before = rows(database_url)
        wechat = world(60, page_size=20)
        busy_life(wechat)
        return other, wechat, before

    return start


def test_every_table_is_of_an_account() -> None:
    """A table that is not found out to be, through account_id, run_id or sweep_id, fails this."""
    ordered = list(removal.in_order())
    assert sorted(table.name for table in ordered) == sorted(metadata.tables)
    for table in ordered:
        removal.rows_of(table, 1)
    for earlier, table in enumerate(ordered):  # none is emptied before those that point at it
        pointing = {key.parent.table for key in table.foreign_keys}
        assert pointing <= {table}
        for key in table.foreign_keys:
            assert ordered.index(key.column.table) > earlier


@pytest.mark.parametrize("rows_a_step", [7, 10_000])
def test_an_erased_account_leaves_no_row_and_the_others_lose_none(
    two: Callable[[], Any], database_url: str, rows_a_step: int
) -> None:
    """All tables are, row by row, what they were without it; in few steps or in many."""
    _, wechat, before = two()
    grown = {name for name, found in rows(database_url).items() if len(found) > len(before[name])}
    assert grown >= LIVED_IN
    with open_store(database_url) as store:
        account = store.accounts.get(wechat.simulator.appid)
        assert account is not None
        remove_account(store, account, erase=True, rows_a_step=rows_a_step)
    assert rows(database_url) == before


def test_accounts_are_listed_as_text_and_as_json(
    two: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """AppID, how its OpenIDs begin, followers, last run and last success; no OpenID in full."""
    worlds = two()[:2]
    worlds[0].set(SYNCJOB_APPID="", SYNCJOB_APPSECRET="", SYNCJOB_API_URL="nonsense")
    capsys.readouterr()
    assert worlds[0].run("accounts") == 0
    words = capsys.readouterr().out
    assert worlds[0].run("accounts", "--json") == 0
    output = capsys.readouterr().out
    by_appid = {account["appid"]: account for account in json.loads(output)}
    assert len(by_appid) == len(words.splitlines()) - 1 == 2
    for wechat, followers in zip(worlds, (30, 60), strict=True):
        found = by_appid[wechat.simulator.appid]
        prefix = next(iter(wechat.account.openids()))[:6]
        assert found["openid_prefix"] == prefix
        assert (found["followers"], found["last_run"]["exit_code"]) == (followers, 6)
        assert found["last_success_at"]
        assert re.search(
            rf"^{wechat.simulator.appid}  {prefix}… +{followers} ", words, re.MULTILINE
        )
    assert not re.search(r"\bo[A-Za-z0-9_-]{27}", words + output)


def test_a_wrong_appid_is_removed_in_one_step(
    world: Callable[..., World], database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run with a mistyped AppID leaves rows; `accounts remove` takes all of them away."""
    wechat = world(3)
    before = rows(database_url)
    wechat.set(SYNCJOB_APPID="wx0000000000000000")
    assert wechat.run("sync") == 3
    wechat.set(SYNCJOB_APPID="")
    assert wechat.run("accounts", "remove", "wx0000000000000000") == 0
    assert "Removed the account wx0000000000000000: " in capsys.readouterr().out
    assert rows(database_url) == before
    assert wechat.run("accounts", "remove", "wx0000000000000000") == 2
    assert "is not in the database; it holds none" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--yes"], ["--erase"], ["--dry-run"]])
def test_followers_are_not_erased_by_mistake(
    world: Callable[..., World],
    database_url: str,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not without --erase; and not with it unasked, where there is no terminal and no --yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    wechat = world(3)
    wechat.run("sync")
    before = rows(database_url)
    capsys.readouterr()
    code = wechat.run("accounts", "remove", wechat.simulator.appid, *arguments)
    out, err = capsys.readouterr()
    assert rows(database_url) == before
    if arguments == ["--dry-run"]:
        assert code == 0
        assert dict(line.split() for line in out.splitlines()[1:]) == {
            name: str(len(found)) for name, found in before.items() if found
        }
    else:
        assert code == 2
        assert (
            "--yes" if arguments == ["--erase"] else "has followers; nothing was removed"
        ) in err


@pytest.mark.parametrize(("typed", "code"), [("right", 0), ("wrong", 1), ("", 1)])
def test_on_a_terminal_the_appid_must_be_typed(
    serve: Callable[..., World], sqlite_url: str, typed: str, code: int
) -> None:
    """Anything else removes nothing."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    wechat.run("sync")
    appid = wechat.simulator.appid
    command = [sys.executable, "-m", "syncjob", "accounts", "remove", appid, "--erase"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=-1, stderr=-1, text=True) as process:
        os.close(theirs)
        os.write(ours, f"{appid if typed == 'right' else typed}\n".encode())
        out, err = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == code, err
    assert f"This erases 3 followers of {appid}" in err
    assert ("Removed" in out) == (code == 0)
    assert bool(rows(sqlite_url)["followers"]) == (code != 0)


def test_an_account_with_a_run_that_is_alive_is_left_alone(
    world: Callable[..., World], store: Store, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 75; one whose process died does not hold it up."""
    wechat = world(3)
    wechat.run("sync")
    account = store.accounts.get(wechat.simulator.appid)
    assert account is not None
    alive = store.runs.start(account.id, "sync", holder=this_process(), abandon_after=ABANDON_AFTER)
    before = rows(database_url)
    remove = ("accounts", "remove", account.appid, "--erase", "--yes")
    assert wechat.run(*remove) == 75
    assert (
        f"another run of this account is running (run {alive.id} since" in capsys.readouterr().err
    )
    assert rows(database_url) == before
    with pytest.raises(RunInProgress):
        remove_account(store, account, erase=True)


def test_no_run_begins_while_an_account_is_removed_and_an_interrupted_removal_goes_on(
    world: Callable[..., World], store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal holds the place of a run; what it has erased before a signal stays erased."""
    wechat = world(50)
    before = rows(database_url)
    wechat.run("sync")
    account = store.accounts.get(wechat.simulator.appid)
    assert account is not None
    meanwhile: list[int] = []
    erase_people = store.removal.erase_people

    def erase(run_id: int, account_id: int, *, limit: int) -> int:
        if meanwhile:
            raise Interrupted("SIGTERM")
        erased = erase_people(run_id, account_id, limit=limit)
        meanwhile.append(wechat.run("sync"))
        return erased

    monkeypatch.setattr(store.removal, "erase_people", erase)
    with pytest.raises(Stopped, match=f"syncjob accounts remove {account.appid} --erase"):
        remove_account(store, account, erase=True, rows_a_step=20)
    assert meanwhile == [75]
    found = rows(database_url)
    assert len(found["followers"]) == 30
    assert "remove" in found["runs"][-1]
    assert "interrupted" in found["runs"][-1]
    assert wechat.run("accounts", "remove", account.appid, "--erase", "--yes") == 0
    assert rows(database_url) == before


def test_two_removals_at_once_exclude_each_other(
    world: Callable[..., World], store: Store, database_url: str
) -> None:
    """Of several at once one removes it; the others end with 75, or find it gone."""
    wechat = world(200)
    before = rows(database_url)
    wechat.run("sync")
    account: Account | None = store.accounts.get(wechat.simulator.appid)
    assert account is not None
    outcomes: list[str] = []

    def remove() -> None:
        with open_store(database_url) as own:
            try:
                remove_account(own, account, erase=True, rows_a_step=10)
            except Exception as error:  # noqa: BLE001 - to be looked at below
                outcomes.append(type(error).__name__)
            else:
                outcomes.append("removed")

    threads = [threading.Thread(target=remove) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("removed") == 1
    assert set(outcomes) <= {"removed", "RunInProgress"}
    assert rows(database_url) == before
    assert rows(database_url)[accounts.name] == []
