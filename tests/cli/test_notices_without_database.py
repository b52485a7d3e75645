"""Notices when the database cannot be asked: settings that are wrong, a server that is down.

Files remember then what was sent, until a run reaches the database again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncjob.database.schema import CURRENT_REVISION
from tests.conftest import World
from tests.loopback import answering
from tests.notices import WRITE_DOWN, Operator, events

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]
DOWN = "postgresql://127.0.0.1:1/crm"
STATE = Path("state")


@pytest.fixture
def operator(world: Callable[..., World]) -> Operator:
    """An operator who is notified by a command, of runs on each of the databases."""
    return Operator(world(5))


def files() -> list[str]:
    """The files that remember what was sent."""
    return sorted(path.name for path in STATE.iterdir()) if STATE.exists() else []


def test_a_database_that_is_down_is_notified_once_and_so_is_its_recovery(
    operator: Operator, database_url: str, query: Query
) -> None:
    """Runs before, in between and afterwards may succeed or fail."""
    assert operator.after(None, 0) == []
    operator.wechat.set(SYNCJOB_DATABASE_URL=DOWN)
    (notice,) = operator.after(None, 4)
    assert (notice["run"], notice["exit_code"], notice["last_success_at"]) == (None, 4, None)
    assert "127.0.0.1:1/crm" in notice["message"]
    assert "last success: not known, the database was not asked" in notice["text"]
    assert operator.after(None, 4) == []
    (name,) = files()
    assert name == f"notice-{operator.wechat.simulator.appid}-command.json"
    assert (STATE / name).stat().st_mode & 0o777 == 0o600
    assert json.loads((STATE / name).read_text()) == {"state": "4"}

    operator.wechat.set(SYNCJOB_DATABASE_URL=database_url)
    assert events(operator.after(None, 0)) == [("recovered", 0, None)]
    assert query("SELECT channel, state FROM notices") == [("command", "ok")]
    assert files() == []
    assert operator.after(None, 0) == []


def test_a_failure_after_a_database_was_down_is_notified_again(
    operator: Operator, database_url: str, query: Query
) -> None:
    """Each of them is a change, in either direction."""
    assert events(operator.after("user/get=48001", 3)) == [("failed", 3, 48001)]
    operator.wechat.set(SYNCJOB_DATABASE_URL=DOWN)
    assert events(operator.after(None, 4)) == [("failed", 4, None)]
    operator.wechat.set(SYNCJOB_DATABASE_URL=database_url)
    assert events(operator.after("user/get=48001", 3)) == [("failed", 3, 48001)]
    assert files() == []
    assert operator.after("user/get=48001", 3) == []


def test_a_schema_that_is_not_current_is_notified(operator: Operator, query: Query) -> None:
    """After an upgrade without `syncjob migrate`."""
    query("UPDATE syncjob_version SET version_num = '0001'")
    (notice,) = operator.after(None, 4)
    assert "run: syncjob migrate" in notice["text"]
    assert operator.after(None, 4) == []
    query("UPDATE syncjob_version SET version_num = :current", current=CURRENT_REVISION)
    assert events(operator.after(None, 0)) == [("recovered", 0, None)]


def test_wrong_settings_are_notified_once_and_so_is_the_recovery(operator: Operator) -> None:
    """Of whichever setting; those of notices can be read all the same."""
    operator.wechat.set(SYNCJOB_LANG="fr")
    (notice,) = operator.after(None, 2)
    assert notice["message"].startswith("SYNCJOB_LANG is 'fr'")
    assert notice["appid"] == operator.wechat.simulator.appid
    assert operator.after(None, 2) == []
    assert operator.after(None, 2, "backfill", "--report", "no/such/folder/report.json") == []
    operator.wechat.set(SYNCJOB_LANG="en")
    assert events(operator.after(None, 0)) == [("recovered", 0, None)]
    assert files() == []


def test_a_state_file_is_moved_into_the_database(operator: Operator, query: Query) -> None:
    """A run that ends with the same, and has the database, tells nothing."""
    operator.wechat.set(SYNCJOB_LANG="fr")
    assert len(operator.after(None, 2)) == 1
    operator.wechat.set(SYNCJOB_LANG="en", SYNCJOB_API_URL="https://wechat.invalid")
    operator.wechat.set(REQUESTS_CA_BUNDLE="/no/such/file")
    assert operator.after(None, 2) == []
    assert query("SELECT channel, state FROM notices") == [("command", "2")]
    assert files() == []


@pytest.mark.parametrize("wrong", ["SYNCJOB_LANGUAGE = 'en'", "SYNCJOB_LANG = true", "nonsense ="])
def test_a_wrong_settings_file_is_notified_if_it_names_a_channel(
    operator: Operator, wrong: str
) -> None:
    """One wrong line hides none of the others; of a file that is no TOML, only variables count."""
    lines = [f"SYNCJOB_ON_FAILURE = {json.dumps(WRITE_DOWN)}", wrong]
    Path("syncjob.toml").write_text("\n".join(lines))
    if "nonsense" not in wrong:
        operator.wechat.set(SYNCJOB_ON_FAILURE="")
    (notice,) = operator.after(None, 2, "sync", "--config", "syncjob.toml")
    assert "the settings file 'syncjob.toml'" in notice["message"]
    assert operator.after(None, 2, "sync", "--config", "syncjob.toml") == []


def test_without_an_appid_every_run_notifies(operator: Operator) -> None:
    """Nobody knows by what name to remember it: better twice than never."""
    operator.wechat.set(SYNCJOB_APPID="")
    for _ in range(2):
        (notice,) = operator.after(None, 2)
        assert notice["appid"] is None
        assert notice["text"].startswith("syncjob: (no AppID) failed")
    assert files() == []


def test_a_wrong_notice_setting_is_refused_before_anything_is_written(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused like any other, before anything is touched."""
    for settings, words in (
        ({"SYNCJOB_WEBHOOK_FORMAT": "teams"}, "SYNCJOB_WEBHOOK_FORMAT is 'teams'; expected one of"),
        ({"SYNCJOB_ON_FAILURE": "mail 'me"}, "SYNCJOB_ON_FAILURE cannot be split into words"),
    ):
        operator.wechat.set(**settings)
        assert operator.after(None, 2) == []
        assert words in capsys.readouterr().err
        assert operator.wechat.run("notify") == 2
        assert words in capsys.readouterr().err
        operator.wechat.set(SYNCJOB_WEBHOOK_FORMAT="auto")
    assert operator.wechat.simulator.counts == {}


def test_without_a_writable_state_folder_every_run_notifies(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    """And said why."""
    STATE.touch()
    operator.wechat.set(SYNCJOB_DATABASE_URL=DOWN)
    for _ in range(2):
        assert len(operator.after(None, 4)) == 1
        assert (
            "Could not remember a notice, so it will be sent again. file="
            in capsys.readouterr().err
        )


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"state": 4}', b"[" * 100_000])
def test_an_invalid_state_file_counts_as_none(operator: Operator, content: bytes) -> None:
    """Told again, and written anew."""
    operator.wechat.set(SYNCJOB_DATABASE_URL=DOWN)
    assert len(operator.after(None, 4)) == 1
    (STATE / files()[0]).write_bytes(content)
    assert len(operator.after(None, 4)) == 1
    assert operator.after(None, 4) == []


def test_each_channel_has_a_file_of_its_own(operator: Operator, database_url: str) -> None:
    """The channel that failed has none, and is tried again at the next run."""
    operator.wechat.set(SYNCJOB_DATABASE_URL=DOWN)
    with answering([b""], status=503) as server:
        operator.wechat.set(SYNCJOB_WEBHOOK_URL=server.url)
        assert len(operator.after(None, 4)) == 1
        assert len(files()) == 1
    with answering([b""]) as server:
        operator.wechat.set(SYNCJOB_WEBHOOK_URL=server.url)
        assert operator.after(None, 4) == []
        assert len(files()) == 2
        operator.wechat.set(SYNCJOB_DATABASE_URL=database_url)
        assert len(operator.after(None, 0)) == 1
        assert [json.loads(body)["event"] for _, _, body in server.requests] == [
            "failed",
            "recovered",
        ]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"STATE_DIRECTORY": "{}/a:{}/b", "XDG_STATE_HOME": "{}/c"}, "a"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "{}/c", "HOME": "{}/d"}, "c/syncjob"),
        ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "c", "HOME": "{}/d"}, "d/.local/state/syncjob"),
    ],
)
def test_the_state_files_are_in_the_state_folder_of_systemd_or_the_user(
    operator: Operator, tmp_path: Path, variables: dict[str, str], folder: str
) -> None:
    """A folder that is made for it is nobody else's."""
    operator.wechat.set(
        **{name: value.replace("{}", str(tmp_path)) for name, value in variables.items()},
        SYNCJOB_DATABASE_URL=DOWN,
    )
    assert len(operator.after(None, 4)) == 1
    assert len(list((tmp_path / folder).glob("notice-*-command.json"))) == 1
    assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
