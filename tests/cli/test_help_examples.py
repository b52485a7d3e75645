"""The examples of every `--help` run, as they are printed, in a sandbox of their own.

Only what is listed here is changed: paths, databases, sizes. A line whose tools this machine lacks
is left out (jq, logger).
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import pytest
from click.testing import CliRunner

from syncjob.cli.main import cli
from syncjob.simulator import Account, Simulator
from tests.conftest import Databases
from tests.warm import warm_syncjob

EXAMPLE_APPID = "wx0123456789abcdef"
APPID = "wx1122334455667788"
SECRET = "0123456789abcdef0123456789abcdef"
COMMAND = re.compile(r"\s+(syncjob |export |[A-Z_]+=|\*/15 )")
# What ends otherwise than with 0, on purpose.
EXPECTED = {"--daily-quota user/get=60": 75}
# Long rehearsals are made short, with as many pages where a quota is to be met.
SHORTER = {
    "--followers 1000000 --latency 80": "--followers 20000 --latency 0",
    "--followers 1000000 --daily-quota": "--followers 20000 --page-size 200 --daily-quota",
    "--followers 1000000": "--followers 20000",
}
TOOLS = ("jq", "logger")


def commands(group: click.Command, name: str = "syncjob") -> Iterator[tuple[str, click.Command]]:
    """Yield the command line, and each command below it, by what it is called with."""
    yield name, group
    if isinstance(group, click.Group):
        for below, command in group.commands.items():
            yield from commands(command, f"{name} {below}")


ALL = dict(commands(cli))


def examples(name: str) -> list[str]:
    """Return the commands below EXAMPLE in what `--help` prints."""
    printed = CliRunner().invoke(cli, [*name.split()[1:], "--help"]).output
    section = re.split(r"^ *EXAMPLES?\b.*$", printed, flags=re.MULTILINE)
    found: list[str] = []
    for line in section[1].splitlines() if len(section) > 1 else ():
        if found and found[-1].endswith("\\"):
            found[-1] += f"\n{line}"
        elif COMMAND.match(line):
            found.append(line.strip())
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_help_has_an_example(name: str) -> None:
    """In lines that can be copied, none of them broken by a narrow terminal."""
    assert examples(name)
    for example in examples(name):
        for line in example.splitlines():
            assert line.strip() in (ALL[name].epilog or "")


class Sandbox:
    """A folder that stands for the machine, and a WeChat that is served."""

    def __init__(self, folder: Path, program: str, make_database: Callable[[], str]) -> None:
        self.folder = folder
        self._make_database = make_database
        self._databases: dict[str, str] = {}
        self.simulator = Simulator(Account(300))
        credentials = self.simulator._api.credentials  # those of the examples
        credentials.appid, credentials.secret = APPID, SECRET
        for name in ("bin", "etc", "lib", "work"):
            (folder / name).mkdir()
        (folder / "bin" / "syncjob").write_text(program)
        (folder / "bin" / "syncjob").chmod(0o755)
        (folder / "etc" / "appsecret").write_text(SECRET)
        (folder / "etc" / "appsecret").chmod(0o600)
        path = [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environ = {
            "PATH": os.pathsep.join(path),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        }

    def place(self, command: str) -> str:
        """Return the command with its paths, databases and sizes replaced by ours."""
        command = re.sub(r"^\*/15( \*){4}\s+", "", command)
        command = command.replace(EXAMPLE_APPID, APPID)
        command = command.replace("/usr/local/bin/", f"{self.folder}/bin/")
        command = command.replace("/etc/syncjob", f"{self.folder}/etc")
        command = command.replace("/var/lib/syncjob", f"{self.folder}/lib")
        for longer, shorter in SHORTER.items():
            command = command.replace(longer, shorter)
        for url in re.findall(r"postgresql://\S+", command):
            if url not in self._databases:
                self._databases[url] = self._make_database()
            command = command.replace(url, f"'{self._databases[url]}'")
        if "--port 8080" in command:  # it serves until Ctrl-C; the port may be another program's
            with socket.create_server(("127.0.0.1", 0)) as free:
                command = command.replace("8080", str(free.getsockname()[1]))
            command = command.replace("syncjob", "timeout -s INT 4 python -m syncjob")
            command += "; test $? = 124"  # which is what timeout makes of it
        return command

    def run(self, *script: str) -> subprocess.CompletedProcess[str]:
        """Run lines of a shell."""
        return subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=self.folder / "work",
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    # --- scenes --------------------------------------------------------------------------

    def name_settings(self) -> None:
        """The settings are in the environment, and in /etc/syncjob, without a database's tables."""
        settings = {
            "SYNCJOB_DATABASE_URL": f"sqlite:///{self.folder}/lib/syncjob.db",
            "SYNCJOB_APPID": APPID,
            "SYNCJOB_APPSECRET_FILE": f"{self.folder}/etc/appsecret",
            "SYNCJOB_API_URL": self.environ["SYNCJOB_API_URL"],
        }
        lines = [f'{name} = "{value}"\n' for name, value in settings.items()]
        (self.folder / "etc" / "syncjob.toml").write_text("".join(lines))
        self.environ |= settings

    def sync(self) -> None:
        """The job has run."""
        self.name_settings()
        done = self.run("syncjob migrate && syncjob sync")
        assert done.returncode == 0, done.stderr

    def park(self) -> None:
        """The job has run, and then so many have left that a run has parked them."""
        self.sync()
        for openid in list(self.simulator.account.openids())[:150]:
            self.simulator.account.unfollow(openid)
        assert self.run("syncjob sync --now").returncode == 6


# What is there before the examples of a command run; nothing but a WeChat, if nothing is named.
SCENES: dict[str, Callable[[Sandbox], None]] = {
    "syncjob": lambda sandbox: None,
    "syncjob init": lambda sandbox: None,
    "syncjob migrate": lambda sandbox: None,
    "syncjob notify": lambda sandbox: None,
    "syncjob simulate": lambda sandbox: None,
    "syncjob unfollows": Sandbox.park,
    "syncjob unfollows approve": Sandbox.park,
    "syncjob unfollows reject": Sandbox.park,
}


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    """The command, as a program that takes no time to start."""
    with TemporaryDirectory(prefix="syncjob-") as folder, warm_syncjob(Path(folder)) as text:
        yield text


@pytest.mark.parametrize("name", ALL)
def test_the_examples_of_the_help_run(
    name: str, tmp_path: Path, program: str, postgresql_databases: Databases
) -> None:
    """One after the other, as printed; each ends as it should."""
    sandbox = Sandbox(tmp_path, program, postgresql_databases.make_empty)
    with sandbox.simulator.serving() as url:
        sandbox.environ["SYNCJOB_API_URL"] = url
        SCENES.get(name, Sandbox.sync)(sandbox)
        exported: list[str] = []
        for example in examples(name):
            if any(tool in example and shutil.which(tool) is None for tool in TOOLS):
                continue
            command = sandbox.place(example)
            if example.startswith("export "):
                exported.append(command)
                continue
            ran = sandbox.run("set -o pipefail", *exported, command)
            code = next((code for part, code in EXPECTED.items() if part in example), 0)
            assert ran.returncode == code, f"$ {example}\n{ran.stdout}{ran.stderr}"


def test_every_replacement_in_the_examples_is_still_needed() -> None:
    """No exception is left over from an example that is gone."""
    everything = "\n".join(example for name in ALL for example in examples(name))
    for part in [*EXPECTED, *SHORTER]:
        assert part in everything
    assert set(SCENES) <= set(ALL)
