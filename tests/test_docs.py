"""The manual is true: its settings, exit codes, tables, views and SQL are those of the code."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import check_output
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncjob.cli.main import cli
from syncjob.config.file import SETTING_NAMES
from syncjob.database.tables import metadata
from syncjob.errors import ExitCode
from tests.conftest import World

Query = Callable[..., list[Any]]
README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
SQL = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)


def section(heading: str) -> str:
    """The text below a heading of the README, up to the next one."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_setting_is_in_the_manual_and_no_other() -> None:
    """The table of settings names what the code reads."""
    named = set(re.findall(r"^\| `(SYNCJOB_\w+)`", section("Settings"), re.MULTILINE))
    assert named == {
        name
        for name in SETTING_NAMES
        if not (name.endswith("_FILE") and name.removesuffix("_FILE") in SETTING_NAMES)
    }


def test_every_exit_code_is_in_the_manual_and_no_other() -> None:
    """The table of exit codes has those of the code."""
    named = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert [int(code) for code in named] == sorted(ExitCode)


def test_every_table_is_in_the_manual_and_no_other() -> None:
    """The table of tables has those of the schema, and each of followers' columns is named."""
    text = section("Tables")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(metadata.tables)
    told = text + section("Since when")
    for column in metadata.tables["followers"].columns:
        assert f"`{column.name}`" in told, column.name


def test_every_command_in_the_manual_is_one() -> None:
    """Each `syncjob …` that the manual shows is a command of the program."""
    shown = set(re.findall(r"(?<!-[goOu] )syncjob (?:-v+ )?([a-z]{3,})\b", README))
    commands = {name for name in shown if name in cli.commands}
    assert commands == set(cli.commands)
    prose = {"and", "for", "has", "keeps", "marks", "needs", "syncjob", "tables", "the", "wants"}
    assert shown - commands <= prose


@pytest.mark.parametrize("block", SQL, ids=range(len(SQL)))
def test_the_sql_of_the_manual_runs(world: Callable[..., World], query: Query, block: str) -> None:
    """Every statement shown runs on both databases, after a real sync."""
    assert world(30).run("sync") == 0
    for statement in filter(str.strip, block.split(";")):
        assert query(statement.replace(":", "\\:")) is not None


def test_status_at_counts_as_the_sql_of_the_manual_does(
    world: Callable[..., World], query: Query, capsys: pytest.CaptureFixture[str]
) -> None:
    """`status --at` and the SELECT that the manual gives agree."""
    wechat = world(30)
    wechat.run("sync")
    (statement,) = (s for block in SQL for s in block.split(";") if "at_least" in s)
    statement = statement.replace("2026-11-01", "2018-11-01").replace(":", "\\:")
    ((at_least, at_most),) = query(statement)
    assert at_least == at_most != 0

    assert wechat.run("status", "--at", "2018-11-01") == 0
    assert capsys.readouterr().out.startswith(f"2018-11-01: at least {at_least} followed; who ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_the_manual_is_there(shell: str) -> None:
    """The installed command prints a script for each shell, and offers its commands."""
    syncjob = Path(sys.executable).parent / "syncjob"
    around = {**os.environ, "_SYNCJOB_COMPLETE": f"{shell}_source"}
    assert f"_SYNCJOB_COMPLETE={shell}_complete" in check_output([syncjob], env=around, text=True)
    asked = {"_SYNCJOB_COMPLETE": "bash_complete", "COMP_WORDS": "syncjob b", "COMP_CWORD": "1"}
    offered = check_output([syncjob], env={**os.environ, **asked}, text=True)
    assert offered == "plain,backfill\n"


def test_every_metric_is_in_the_manual_and_no_other(world: Callable[..., World]) -> None:
    """The table of metrics has those that a run leaves, with their labels."""
    wechat = world(30)
    wechat.set(SYNCJOB_METRICS_FILE="syncjob.prom")
    assert wechat.run("sync") == 0
    left: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(Path("syncjob.prom").read_text()):
        for sample in family.samples:
            left.setdefault(sample.name, set()).update(sample.labels.keys() - {"appid"})
    told = {
        name: set(re.findall(r"`(\w+)`", labels))
        for names, labels in re.findall(r"^\| (`sync[^|]*) \| ([^|]*)\|", section("Metrics"), re.M)
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == left
