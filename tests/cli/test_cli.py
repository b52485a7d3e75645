"""The command line as a stranger and as cron meet it: help, options, what is printed."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncjob import __version__
from syncjob.cli.main import run
from syncjob.errors import ExitCode
from tests.conftest import World

COMMANDS = ["migrate", "sync", "backfill", "status", "runs", "unfollows", "simulate"]


@pytest.fixture
def ready(serve: Callable[..., World], sqlite_url: str) -> Callable[..., World]:
    """A served WeChat and a fresh SQLite file."""

    def start(followers: int = 250, **switches: Any) -> World:
        wechat = serve(followers, page_size=100, **switches)
        wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_SWEEP_EVERY="0")
        return wechat

    return start


def syncjob(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m syncjob` with the variables of the test."""
    return subprocess.run(
        [sys.executable, "-m", "syncjob", *arguments],
        text=True,
        timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


# --- help ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help says what the command does and gives an example, and ends with 0."""
    assert run([command, "--help"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith(f"Usage: syncjob {command} ")
    example = re.split(r"\n\s*EXAMPLES?\b", output.out)[1]
    assert f"syncjob {command}" in example or f"syncjob -v {command}" in example
    assert max(map(len, output.out.splitlines())) <= 100


def test_the_help_lists_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names every command, every exit code and the way to a first run."""
    assert run(["--help"]) == 0
    output = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", output, re.MULTILINE)
    codes = re.findall(r"^ +(\d+)  \w", output, re.MULTILINE)
    assert codes == [str(int(code)) for code in ExitCode]
    assert "export SYNCJOB_APPID=" in output


def test_help_needs_no_settings_and_touches_nothing(tmp_path: Path) -> None:
    """Help is given whatever the settings are, and no file is made."""
    output = syncjob("sync", "--help", env={**os.environ, "SYNCJOB_BATCH_SIZE": "x"})
    assert (output.returncode, output.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_printed() -> None:
    """--version names the program and its version; `python -m syncjob` is the program."""
    output = syncjob("--version")
    assert (output.returncode, output.stdout) == (0, f"syncjob, version {__version__}\n")
    assert "Usage: syncjob [OPTIONS] COMMAND" in syncjob().stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["synk"], "No such command 'synk'"),
        (["--secret", "x", "sync"], "No such option"),
        (["sync", "--full"], "No such option"),
        (["sync", "now"], "unexpected extra argument"),
        (["backfill", "--config"], "requires an argument"),
        (["runs", "--limit", "0"], "0 is not in the range 1<=x<=1000000"),
        (["runs", "--limit", "many"], "'many' is not a valid integer"),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A usage error ends with 2, names what is wrong on stderr, and touches nothing."""
    assert run(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err
    assert list(tmp_path.iterdir()) == []


# --- options before and after the name ----------------------------------------------------


@pytest.mark.parametrize("arguments", [["--config", "a.toml", "{}"], ["{}", "--config", "a.toml"]])
@pytest.mark.parametrize("command", ["migrate", "sync", "backfill", "status", "runs"])
def test_the_settings_file_is_named_before_or_after_the_command(
    arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """--config may stand on either side of every command's name."""
    Path("a.toml").write_text("SYNCJOB_DATABASE_URL = 'mysql://me:hunter2@db/crm'")
    assert run([argument.format(command) for argument in arguments]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert output.err.startswith("syncjob: SYNCJOB_DATABASE_URL is a 'mysql' URL; expected ")
    assert "hunter2" not in output.err


def test_a_settings_file_is_enough(
    ready: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose settings all stand in the file runs with an empty environment."""
    ready(3)
    names = [name for name in os.environ if name.startswith("SYNCJOB_")]
    given = [name for name in names if "TEST" not in name and name != "SYNCJOB_CONFIG"]
    lines = [f"{name} = '{os.environ[name]}'" for name in given]
    for name in names:
        monkeypatch.delenv(name)
    Path("job.toml").write_text("\n".join(lines))
    assert run(["sync", "--config", "job.toml"]) == 0


def test_the_option_wins_over_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--config is read in the place of the file that SYNCJOB_CONFIG names."""
    monkeypatch.setenv("SYNCJOB_CONFIG", "no-such-file.toml")
    Path("a.toml").write_text("SYNCJOB_LANGUAGE = 'en'")
    assert run(["status", "--config", "a.toml"]) == 2
    assert "'a.toml' has 'SYNCJOB_LANGUAGE'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["-v", "sync"], ["sync", "-v"], ["--verbose", "sync"], ["sync", "--verbose"]]
)
def test_v_logs_a_line_for_each_page(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """-v, on either side of the command, logs each page and step on stderr; stdout stays silent."""
    wechat = ready(250)
    assert wechat.run(*arguments) == 0
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    pages = [
        line for line in lines if re.search(r"\bpages?=[123]\b", line) and "Sealed" not in line
    ]
    assert len(pages) >= 3
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO [A-Z]", line) for line in lines)
    assert wechat.simulator.secret not in output.err
    assert wechat.account.openid(0) not in output.err


@pytest.mark.parametrize("arguments", [["-vv", "sync"], ["-v", "sync", "-v"], ["sync", "-vv"]])
def test_vv_adds_the_traceback(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """With -vv, wherever its halves stand, an error comes with a traceback; with -v it does not."""
    wechat = ready()
    wechat.simulator.faults.add("user/get=48001")
    assert wechat.run(*arguments) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert wechat.run("-v", "sync") == 3
    assert "Traceback" not in capsys.readouterr().err


# --- silence ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["sync", "backfill"])
def test_a_successful_run_prints_nothing(
    ready: Callable[..., World], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A run that ends well prints nothing at all, so that cron mails nothing."""
    wechat = ready()
    wechat.simulator.faults.add("user/get=-1@2")
    wechat.simulator.faults.add("user/info/batchget=40001@2")
    assert wechat.run(command) == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "")


def test_the_debug_log_holds_no_secret(
    ready: Callable[..., World], sqlite_query: Callable[..., list[Any]]
) -> None:
    """-vv shows neither token nor secret nor OpenID, whatever the libraries below would log."""
    wechat = ready()
    wechat.simulator.faults.add("user/get=40001@2")
    wechat.simulator.faults.add("user/info/batchget=45009@2")

    output = syncjob("-vv", "sync")

    assert output.returncode == 75, output.stderr
    assert "Traceback" in output.stderr
    assert wechat.simulator.count("stable_token") == 2
    ((token,),) = sqlite_query("SELECT access_token FROM access_tokens")
    for hidden in (wechat.simulator.secret, token, wechat.account.openid(0), "access_token="):
        assert hidden not in output.stderr + output.stdout
    assert not re.search(r"\bo[A-Za-z0-9_-]{27}", output.stderr)
    assert "connectionpool" not in output.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["runs", "--limit", "1000"], ["status"]])
def test_a_closed_pipe_is_no_error(ready: Callable[..., World], arguments: list[str]) -> None:
    """`| head` may close the pipe: the command says no word about it."""
    wechat = ready(3)
    assert wechat.run("sync") == 0
    reader, writer = os.pipe()
    os.close(reader)
    try:
        output = syncjob(*arguments, stdout=writer)
    finally:
        os.close(writer)
    assert output.stderr == ""


@pytest.mark.parametrize(
    "arguments", [["runs", "--limit", "1000"], ["status"], ["unfollows"]], ids=" ".join
)
def test_a_closed_pipe_ends_with_0(ready: Callable[..., World], arguments: list[str]) -> None:
    """`| head` may close the pipe: the command ends with 0."""
    assert ready(3).run("sync") == 0
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert syncjob(*arguments, stdout=writer).returncode == 0
    finally:
        os.close(writer)


def test_a_closed_stdout_is_no_failure(ready: Callable[..., World]) -> None:
    """Started with its output closed, as some supervisors do, a sync that went well ends with 0."""
    ready(3)
    command = f"{sys.executable} -m syncjob sync >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
