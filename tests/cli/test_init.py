"""`syncjob init`: a settings file to begin with."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from syncjob.cli.main import run
from syncjob.config import SettingsReader
from syncjob.config.file import read_settings_file
from syncjob.config.settings import SETTING_NAMES, SETTINGS
from tests.conftest import World


def test_the_file_that_is_written_leads_to_a_first_sync(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two steps that it names are enough."""
    wechat = serve(30)
    assert run(["init"]) == 0
    steps = capsys.readouterr().out
    written = Path("syncjob.toml")
    assert written.stat().st_mode & 0o777 == 0o600

    for name in ("APPID", "APPSECRET"):
        value = {"APPID": wechat.simulator.appid, "APPSECRET": wechat.simulator.secret}[name]
        monkeypatch.delenv(f"SYNCJOB_{name}")
        filled = written.read_text().replace(
            f'\nSYNCJOB_{name} = ""', f'\nSYNCJOB_{name} = "{value}"'
        )
        written.write_text(filled)
    commands = re.search(r"2\. (.*)", steps)
    assert commands
    for command in commands[1].split(" && "):
        assert run(command.split()[1:]) == 0
    assert run(["status", "--config", "syncjob.toml"]) == 0
    assert "30 subscribed, 0 unenriched" in capsys.readouterr().out


def test_a_setting_that_init_left_empty_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Straight from init, a run says what is missing."""
    run(["init"])
    capsys.readouterr()
    assert run(["sync", "--config", "syncjob.toml"]) == 2
    assert "SYNCJOB_APPID is not set" in capsys.readouterr().err


def test_a_file_that_is_there_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even an empty one, or what a link leads to."""
    Path("mine.toml").write_text("mine")
    Path("link.toml").symlink_to("mine.toml")
    Path("dangling.toml").symlink_to("nowhere.toml")
    for name in ("mine.toml", "link.toml", "dangling.toml"):
        assert run(["init", name]) == 2
        assert "it was left as it is" in capsys.readouterr().err
    assert Path("mine.toml").read_text() == "mine"
    assert not Path("nowhere.toml").exists()
    assert run(["init", "no/such/folder.toml"]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_every_setting_is_in_the_file_with_its_default() -> None:
    """With every line in force, it says what is so without them."""
    assert run(["init"]) == 0
    text = Path("syncjob.toml").read_text()
    named = re.findall(r"^(?:# )?(SYNCJOB_\w+) = ", text, re.MULTILINE)
    assert set(named) == SETTING_NAMES
    tomllib.loads(text)

    offered = dict(re.findall(r'^# (SYNCJOB_\w+) = "(.*)"', text, re.MULTILINE))
    defaults = {row.name: offered[row.name] for row in SETTINGS if row.default and not row.example}
    assert len(defaults) > 15
    least = {"SYNCJOB_APPID": "wx1", "SYNCJOB_APPSECRET": "s"}
    assert SettingsReader(least, defaults).job() == SettingsReader(least).job()
    assert read_settings_file(Path("syncjob.toml")).texts["SYNCJOB_DATABASE_URL"] == (
        SettingsReader(least).job().database_url.reveal()
    )
