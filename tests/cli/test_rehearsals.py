"""A rehearsal stays in a database of its own, however the job is started under `simulate`."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, select

from syncjob.database.tables import metadata
from tests.conftest import Databases, World
from tests.warm import warm_syncjob

pytestmark = pytest.mark.one_database

# Every command that opens the database.
COMMANDS = [
    *("migrate", "sync", "sync --now", "sync --dry-run", "backfill", "plan", "status", "runs"),
    *("accounts", "unfollows", "unfollows approve", "quota", "quota forget", "metrics"),
]
REAL = "wx1122334455667788"


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    """The command, as a program that takes no time to start."""
    with TemporaryDirectory(prefix="syncjob-") as folder, warm_syncjob(Path(folder)) as text:
        yield text


class Shell:
    """A folder with a shell in which `syncjob` is installed."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        tools = folder / "bin"
        tools.mkdir()
        (tools / "syncjob").write_text(program)
        (tools / "syncjob").chmod(0o755)
        python = str(Path(sys.executable).parent)
        path = os.pathsep.join([str(tools), python, os.environ["PATH"]])
        self.environ = {"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the shell, with these variables."""
        return subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def shell(tmp_path: Path, program: str) -> Shell:
    """A shell in an empty folder."""
    return Shell(tmp_path, program)


@pytest.fixture
def production(world: Callable[..., World], database_url: str) -> str:
    """The URL of a database that holds an account with 20 followers."""
    wechat = world(20, seed=7)
    assert wechat.run("sync") == 0
    return database_url


def rows(url: str) -> dict[str, list[Any]]:
    """Return all rows of all tables."""
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


def followers(url: str) -> int:
    """Return how many rows of followers there are."""
    return len(rows(url)["followers"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_with_another_account_is_refused_and_left_as_it_is(
    shell: Shell, production: str, command: str
) -> None:
    """Exit code 2, both accounts named, and the cure; no table has changed."""
    before = rows(production)
    ran = shell.run(
        f"syncjob simulate --followers 5 -- syncjob {command}", SYNCJOB_DATABASE_URL=production
    )
    assert ran.returncode == 2, ran.stderr
    assert "the database holds the account wx" in ran.stderr
    assert "syncjob simulate --anyway" in ran.stderr
    assert "simulate: no calls" in ran.stderr
    assert rows(production) == before


@pytest.mark.parametrize(
    "start",
    [
        "sh -c 'syncjob sync'",
        "sh job.sh",
        "env SYNCJOB_CONFIG=own.toml syncjob sync",
        "env -u SYNCJOB_CONFIG syncjob sync",
        "sh -c 'export SYNCJOB_CONFIG=own.toml; cd .; exec syncjob sync'",
        "syncjob sync --config own.toml",
        "syncjob --config own.toml backfill",
        "syncjob simulate --seed 3 -- syncjob sync --config own.toml",
        "python -m syncjob sync --config own.toml",
    ],
)
def test_another_accounts_database_is_refused_however_the_job_is_started(
    shell: Shell, production: str, start: str
) -> None:
    """The mark goes with the environment: through shells, scripts and files of settings."""
    (shell.folder / "job.sh").write_text("set -e\nexport SYNCJOB_CONFIG=own.toml\nsyncjob sync\n")
    (shell.folder / "own.toml").write_text(f'SYNCJOB_DATABASE_URL = "{production}"\n')
    before = rows(production)
    named = {"SYNCJOB_DATABASE_URL": production} if "own.toml" not in start else {}
    ran = shell.run(f"syncjob simulate --followers 5 -- {start}", **named)
    assert ran.returncode == 2, ran.stderr
    assert "the database holds the account wx" in ran.stderr
    assert rows(production) == before


@pytest.mark.parametrize("command", ["sync", "migrate", "status", "doctor --offline"])
@pytest.mark.parametrize("options", ["", "--anyway"])
def test_a_rehearsal_has_no_default_database(shell: Shell, command: str, options: str) -> None:
    """Even where syncjob.db lies in the folder: nothing is made, nothing is written."""
    production = f"sqlite:///{shell.folder}/syncjob.db"
    assert shell.run("syncjob migrate").returncode == 0
    before = rows(production)
    ran = shell.run(f"syncjob simulate {options} --followers 5 -- syncjob {command}")
    assert ran.returncode == (1 if "doctor" in command else 2)
    said = ran.stderr + ran.stdout
    assert "SYNCJOB_DATABASE_URL is not set, and under syncjob simulate there is no default" in said
    assert rows(production) == before
    (shell.folder / "elsewhere").mkdir()
    ran = shell.run(f"cd elsewhere; syncjob simulate {options} -- syncjob {command}")
    assert list((shell.folder / "elsewhere").iterdir()) == []


def test_the_settings_file_of_another_account_lends_no_database_metrics_or_notices(
    shell: Shell,
) -> None:
    """Not even a database that is still empty; what else is in the file holds."""
    (shell.folder / "real.toml").write_text(
        f'SYNCJOB_APPID = "{REAL}"\n'
        'SYNCJOB_DATABASE_URL = "sqlite:///real.db"\n'
        'SYNCJOB_METRICS_FILE = "real.prom"\n'
        'SYNCJOB_ON_FAILURE = "touch told"\n'
        "SYNCJOB_BATCH_SIZE = 7\n"
    )
    assert shell.run("syncjob migrate --config real.toml").returncode == 0
    ran = shell.run("syncjob simulate -- syncjob sync --config real.toml")
    assert ran.returncode == 2
    assert "SYNCJOB_DATABASE_URL is not set, and under syncjob simulate" in ran.stderr

    own = {"SYNCJOB_DATABASE_URL": "sqlite:///own.db"}
    assert (
        shell.run("syncjob simulate -- syncjob migrate --config real.toml", **own).returncode == 0
    )
    ran = shell.run("syncjob simulate --followers 21 -- syncjob sync --config real.toml", **own)
    assert ran.returncode == 0, ran.stderr
    assert "user/info/batchget 3" in ran.stderr  # the size of a batch is the file's
    ran = shell.run(
        "syncjob simulate --fault '*=48001' -- syncjob sync --now --config real.toml", **own
    )
    assert ran.returncode == 3
    assert followers(f"sqlite:///{shell.folder}/real.db") == 0
    assert not (shell.folder / "told").exists()
    assert not (shell.folder / "real.prom").exists()


def test_another_account_than_the_simulators_is_refused(shell: Shell) -> None:
    """A variable that a script sets again counts as a mistake: exit code 2, nothing asked."""
    own = {"SYNCJOB_DATABASE_URL": "sqlite:///own.db"}
    assert shell.run("syncjob migrate", **own).returncode == 0
    ran = shell.run(f"syncjob simulate -- env SYNCJOB_APPID={REAL} syncjob sync", **own)
    assert ran.returncode == 2
    assert f"SYNCJOB_APPID is '{REAL}', and syncjob simulate serves wx" in ran.stderr
    assert "simulate: no calls" in ran.stderr


def test_a_refused_rehearsal_sends_no_notice(shell: Shell, production: str) -> None:
    """The wrong database is reported on the terminal, not by a notice."""
    ran = shell.run(
        "syncjob simulate -- env SYNCJOB_ON_FAILURE='touch told' syncjob sync",
        SYNCJOB_DATABASE_URL=production,
    )
    assert ran.returncode == 2
    assert not (shell.folder / "told").exists()


def test_a_rehearsal_in_its_own_database_can_be_repeated(
    shell: Shell, databases: Databases
) -> None:
    """Migrate, sync, sync again, status: all end with 0, and the same people follow."""
    url = databases.make_empty()
    script = "syncjob migrate && syncjob sync && syncjob sync --now && syncjob status"
    for _ in range(2):
        ran = shell.run(
            f"syncjob simulate --followers 30 -- sh -c {shlex.quote(script)}",
            SYNCJOB_DATABASE_URL=url,
        )
        assert ran.returncode == 0, ran.stderr
    assert followers(url) == 30


def test_anyway_allows_another_accounts_database(shell: Shell, production: str) -> None:
    """With --anyway the made-up account is added beside the one that is there."""
    ran = shell.run(
        "syncjob simulate --anyway --followers 5 -- syncjob sync", SYNCJOB_DATABASE_URL=production
    )
    assert ran.returncode == 0, ran.stderr
    assert followers(production) == 25
    assert len(rows(production)["accounts"]) == 2


def test_a_shell_that_takes_the_printed_settings_is_guarded_too(
    shell: Shell, production: str
) -> None:
    """Served without a command, the exports hold the mark; `unset`, as printed, takes it away."""
    before = rows(production)
    script = """
    python -m syncjob simulate --followers 5 > exports 2> told & server=$!
    until grep -q unset exports 2>/dev/null; do sleep 0.05; done
    eval "$(cat exports)"
    syncjob sync; echo "ended with $?"
    $(sed -n 's/^# .*: unset/unset/p' exports); env | grep -c ^SYNCJOB_
    kill $server; wait $server
    """
    ran = shell.run(script, SYNCJOB_DATABASE_URL=production)
    assert "the database holds the account wx" in ran.stderr
    assert ran.stdout == "ended with 2\n1\n"
    assert rows(production) == before
