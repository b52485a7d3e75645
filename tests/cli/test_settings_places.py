"""Which settings file is read where none is named, and what is said where none can be."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from syncjob.config import SettingsReader, open_settings
from syncjob.config.places import usual_folders
from syncjob.errors import SettingsError
from tests.conftest import World


def written(folder: Path, text: str) -> Path:
    """Return a folder with a settings file in it."""
    folder.mkdir(parents=True)
    (folder / "syncjob.toml").write_text(text)
    return folder


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing names a settings file."""
    monkeypatch.delenv("SYNCJOB_CONFIG")


@pytest.mark.usefixtures("unnamed")
def test_the_systems_file_is_read_and_then_the_users(tmp_path: Path) -> None:
    """Where nothing is named the first that is there counts, alone; doctor can say which it was."""
    system = written(tmp_path / "etc", "SYNCJOB_APPID = 'wxe1'")
    own = written(tmp_path / "own", "SYNCJOB_APPID = 'wxf1'\nSYNCJOB_LANG = 'en'")
    reader = open_settings(folders=[system, own])
    assert reader.database().appid == "wxe1"
    assert not reader.values.names("SYNCJOB_LANG")
    assert reader.origin is not None
    assert reader.origin.path == system / "syncjob.toml"
    assert open_settings(folders=[tmp_path / "no", own]).database().appid == "wxf1"
    assert open_settings(folders=[tmp_path / "no"]).origin is None


@pytest.mark.usefixtures("unnamed")
def test_the_environment_wins_over_a_file_that_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over one that was named."""
    system = written(tmp_path / "etc", "SYNCJOB_APPID = 'wxe1'\nSYNCJOB_LANG = 'en'")
    monkeypatch.setenv("SYNCJOB_APPID", "wxa1")
    monkeypatch.setenv("SYNCJOB_APPSECRET", "s")
    read = open_settings(folders=[system]).job()
    assert (read.account.appid, read.account.lang) == ("wxa1", "en")


@pytest.mark.parametrize("name", ["", " ", '""', "''"])
def test_an_empty_name_means_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A rehearsal sets it so, and never meets the real job's settings; nor does a test."""
    system = written(tmp_path / "etc", "SYNCJOB_APPID = 'wxe1'")
    monkeypatch.setenv("SYNCJOB_CONFIG", name)
    reader = open_settings(folders=[system])
    assert reader.origin is None
    with pytest.raises(SettingsError, match="no settings file was named: SYNCJOB_CONFIG"):
        reader.job()
    assert open_settings("", folders=[system]).origin is None


def test_a_named_file_is_the_only_one(tmp_path: Path) -> None:
    """What it does not have is not looked for elsewhere."""
    system = written(tmp_path / "etc", "SYNCJOB_APPID = 'wxe1'")
    Path("mine.toml").write_text("SYNCJOB_LANG = 'en'")
    reader = open_settings("mine.toml", folders=[system])
    assert reader.database().appid is None
    with pytest.raises(SettingsError) as caught:
        reader.job()
    assert str(caught.value) == (
        "SYNCJOB_APPID is not set; expected the account's AppID, such as wx0123456789abcdef; "
        "the settings file 'mine.toml' does not have it either"
    )


@pytest.mark.usefixtures("unnamed")
def test_that_no_file_was_named_is_in_the_first_line_of_what_is_missing(tmp_path: Path) -> None:
    """With the places that were looked at."""
    with pytest.raises(SettingsError) as caught:
        open_settings(folders=[tmp_path / "etc", tmp_path / "own"]).job()
    first = str(caught.value).split("\n")[0]
    assert "no settings file was named by --config or SYNCJOB_CONFIG" in first
    assert f"there is none at {tmp_path}/etc/syncjob.toml or {tmp_path}/own/syncjob.toml" in first


@pytest.mark.parametrize(
    ("environ", "folders"),
    [
        ({"HOME": "/home/me"}, ["/etc/syncjob", "/home/me/.config/syncjob"]),
        ({"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"}, ["/etc/syncjob", "/x/syncjob"]),
        (
            {"HOME": "/home/me", "XDG_CONFIG_HOME": "x"},
            ["/etc/syncjob", "/home/me/.config/syncjob"],
        ),
        ({}, ["/etc/syncjob"]),
        ({"HOME": "relative"}, ["/etc/syncjob"]),
    ],
)
def test_the_usual_folders(environ: dict[str, str], folders: list[str]) -> None:
    """The system's, then the user's configuration folder, by its specification."""
    assert [str(folder) for folder in usual_folders(environ)] == folders


@pytest.mark.usefixtures("unnamed")
def test_a_wrong_file_that_was_found_is_refused(tmp_path: Path) -> None:
    """It is not passed over: its settings are the ones that are meant."""
    system = written(tmp_path / "etc", "SYNCJOB_APPID = wxe1")
    with pytest.raises(SettingsError, match="is not TOML"):
        open_settings(folders=[system])


NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.usefixtures("unnamed")
def test_an_unreadable_system_file_says_to_run_as_the_jobs_user() -> None:
    """The message has the line to run; what needs nothing of the file goes on without it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        system = written(folder / "etc", "SYNCJOB_DATABASE_URL = 'sqlite:////var/x.db'")
        (system / "syncjob.toml").chmod(0o600)
        own = written(folder / "own", "SYNCJOB_DATABASE_URL = 'sqlite:////home/x.db'")
        os.seteuid(NOBODY)
        try:
            denied = open_settings(folders=[system, folder / "no"])
            found = open_settings(folders=[system, own])
        finally:
            os.seteuid(0)
    with pytest.raises(SettingsError) as caught:
        denied.database()
    first = str(caught.value).split("\n")[0]
    assert f"this user may not read the settings file '{system}/syncjob.toml'" in first
    assert "runuser -u syncjob -- syncjob" in first
    environ = {"SYNCJOB_DATABASE_URL": "sqlite:///mine.db"}
    origin = denied.origin
    assert SettingsReader(environ, origin=origin).database().database_url.reveal() == (
        "sqlite:///mine.db"
    )
    assert found.database().database_url.reveal() == "sqlite:////home/x.db"


# --- as the command says it -----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "runs", "unfollows", "sync"])
def test_an_error_of_the_default_database_says_that_it_is_the_default(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Without the file in a new shell, no database is made in the current folder."""
    wechat = serve(1)
    assert wechat.run(command) == 4
    first = capsys.readouterr().err.splitlines()[0]
    assert "'syncjob.db' does not exist" in first
    assert "SYNCJOB_DATABASE_URL is not set; no settings file was named" in first


def test_an_error_of_a_named_database_does_not_mention_the_settings_file(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is about the database then."""
    wechat = serve(1)
    wechat.set(SYNCJOB_DATABASE_URL="sqlite:///other.db")
    assert wechat.run("status") == 4
    assert "settings file" not in capsys.readouterr().err


@pytest.mark.skipif(Path("/etc/syncjob").exists(), reason="it would be read before")
def test_a_file_in_the_users_folder_is_enough_for_every_command(tmp_path: Path) -> None:
    """The installed command finds it, in an empty folder with no variable of ours."""
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    database = tmp_path / "job.db"
    written(home / ".config/syncjob", f"SYNCJOB_DATABASE_URL = 'sqlite:///{database}'")
    command = Path(sys.executable).parent / "syncjob"
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    for words in (["migrate"], ["runs"], ["doctor", "--offline"]):
        done = subprocess.run(
            [command, *words], cwd=work, env=environ, capture_output=True, text=True
        )
        assert done.returncode == (1 if words[0] == "doctor" else 0), done.stderr
    assert database.exists()
    assert not list(work.iterdir())
    assert f"the file {home}/.config/syncjob/syncjob.toml was read" in done.stdout


def test_a_rehearsal_reads_no_settings_file(tmp_path: Path) -> None:
    """Not even the one that is found by itself: it names the real job's database."""
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    written(home / ".config/syncjob", f"SYNCJOB_DATABASE_URL = 'sqlite:///{tmp_path}/real.db'")
    command = Path(sys.executable).parent / "syncjob"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SYNCJOB_DATABASE_URL": f"sqlite:///{tmp_path}/rehearsal.db",
        "SYNCJOB_CONFIG": str(home / ".config/syncjob/syncjob.toml"),
    }
    rehearsal = [command, "simulate", "--followers", "3", "--", "sh", "-c"]
    inner = f"unset SYNCJOB_DATABASE_URL; {command} status"
    done = subprocess.run(
        [*rehearsal, inner], cwd=work, env=environ, capture_output=True, text=True
    )
    assert done.returncode in (2, 4), done.stderr
    assert "real.db" not in done.stderr
    assert not (tmp_path / "real.db").exists()
