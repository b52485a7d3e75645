"""`syncjob simulate` as an operator runs it: options in, settings and exit codes out."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.processes import heeding_signals

SIMULATE = [sys.executable, "-c", "from syncjob.cli.simulate import simulate; simulate()"]
ASK = """
import json, os, urllib.request
url, appid, secret = (os.environ["SYNCJOB_" + n] for n in ("API_URL", "APPID", "APPSECRET"))
query = f"grant_type=client_credential&appid={appid}&secret={secret}"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def get(path):
    with opener.open(url + "/cgi-bin/" + path, timeout=5) as answer:
        return json.loads(answer.read())
token = get("token?" + query)["access_token"]
print(json.dumps(get("user/get?access_token=" + token)))
"""

WAIT = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
print("stopped")
sys.exit(5)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run([*SIMULATE, *arguments], capture_output=True, text=True, timeout=60)


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command and make sure that it is gone in the end."""
    with subprocess.Popen(
        heeding_signals([*SIMULATE, *arguments]), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_command_finds_the_simulator_in_its_environment() -> None:
    """The command is given address and credentials, and keeps its own options."""
    ran = run("--followers", "3", "--fault", "user/info=-1", sys.executable, "-c", ASK)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["total"] == 3
    assert ran.stderr == "simulate: token 1, user/get 1\n"


def test_other_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sees the variables of the shell, and the stable token source."""
    monkeypatch.setenv("SYNCJOB_DATABASE_URL", "sqlite:///mine.db")
    ran = run("--", "sh", "-c", "echo $SYNCJOB_DATABASE_URL $SYNCJOB_TOKEN_SOURCE")
    assert ran.stdout == "sqlite:///mine.db stable\n"


def test_a_rehearsal_uses_nothing_of_the_real_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not its settings file, and so its database; nor its metrics, nor its notices."""
    names = ("CONFIG", "METRICS_FILE", "ON_FAILURE", "WEBHOOK_URL", "WEBHOOK_URL_FILE")
    for name in (*names, "APPSECRET_FILE"):
        monkeypatch.setenv(f"SYNCJOB_{name}", "/etc/syncjob/real")
    ran = run("--", "env")
    assert "SYNCJOB_APPID=" in ran.stdout
    assert "/etc/syncjob/real" not in ran.stdout


def test_options_reach_the_simulator() -> None:
    """Page size and faults shape what the command is answered."""
    ran = run("--followers", "9", "--page-size", "4", "--", sys.executable, "-c", ASK)
    assert json.loads(ran.stdout)["count"] == 4
    ran = run("--fault", "user/get=48001", "--", sys.executable, "-c", ASK)
    assert json.loads(ran.stdout)["errcode"] == 48001


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_the_commands_exit_code_is_passed_on(script: str, code: int) -> None:
    """Exit codes are the command's; killed by signal N is 128+N."""
    assert run("--", "sh", "-c", script).returncode == code


def test_a_command_that_does_not_exist_is_named() -> None:
    """An unknown command is exit code 127, one that cannot be run 126."""
    ran = run("--", "no-such-command-here")
    assert ran.returncode == 127
    assert "no such command: no-such-command-here" in ran.stderr
    assert run("--", os.sep).returncode == 126


def test_sigterm_is_passed_on_to_the_command() -> None:
    """The command gets SIGTERM, and is waited for."""
    with started("--", sys.executable, "-c", WAIT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.stdout.read() == "stopped\n"
        assert process.wait(timeout=10) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_command_it_serves_until_stopped(number: signal.Signals) -> None:
    """The settings are printed for a shell; Ctrl-C and SIGTERM end the serving with 0."""
    with started("--followers", "2") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        assert lines[0].startswith("# ")
        settings = dict(line.removeprefix("export ").strip().split("=") for line in lines[1:])
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(settings["SYNCJOB_API_URL"] + "/cgi-bin/user/get", timeout=5) as answer:
            assert json.loads(answer.read())["errcode"] == 41001
        assert settings["SYNCJOB_TOKEN_SOURCE"] == "stable"
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_a_port_that_is_taken_is_a_usage_error() -> None:
    """A taken port is exit code 2, and the port is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run("--port", port)
    assert ran.returncode == 2
    assert f"cannot serve on port {port}" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--followers", "-1"], "--followers"),
        (["--latency", "-0.5"], "--latency"),
        (["--fault", "user/get"], "fault 'user/get' does not read ENDPOINT=WHAT"),
        (["--daily-quota", "user/get=many"], "'user/get=many' does not read ENDPOINT=N"),
        (["--daily-quota", "tags/get=3"], "no endpoint 'tags/get'"),
        (["--followers", "2", "--poison", "3"], "exceed --followers"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(arguments: list[str], words: str) -> None:
    """A wrong option is exit code 2 with words that name it, and nothing is run."""
    ran = run(*arguments, "--", "echo", "ran")
    assert ran.returncode == 2
    assert words in ran.stderr
    assert ran.stdout == ""


def test_help_ends_with_examples() -> None:
    """--help explains the faults and how to rehearse a backfill."""
    output = run("--help").stdout
    assert "user/get=-1@2-3" in output
    assert "--followers 1000000" in output[output.index("EXAMPLES") :]
