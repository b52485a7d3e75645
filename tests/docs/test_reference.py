"""The reference pages have what the code has and nothing else: columns, options, fields."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite

from syncjob.cli.main import cli
from syncjob.cli.options import _common_options
from syncjob.config.file import SETTING_NAMES
from syncjob.config.simulated import MARK
from syncjob.database.engine import open_engine
from syncjob.database.tables import metadata
from tests.conftest import Databases

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"


def sections(name: str) -> dict[str, str]:
    """The text below each heading of the second and third level of a page, by heading."""
    parts = re.split(r"^###? (.+)\n", (REFERENCE / name).read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables, without their heads."""
    found = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in found]
    return [[cell.strip() for cell in row] for row in cells if row[0].strip().startswith("`")]


# --- tables -------------------------------------------------------------------------------

TABLES = sections("tables.md")
SHORT = {"timestamp with time zone": "timestamptz", ' collate "c"': ' COLLATE "C"'}


def short(kind: str) -> str:
    """A type as the page writes it."""
    kind = kind.lower()
    for long, name in SHORT.items():
        kind = kind.replace(long, name)
    return kind


def test_every_table_and_view_is_on_the_page(database_url: str) -> None:
    """Those of a migrated database, but the one that holds its revision, and no other."""
    engine = open_engine(database_url)
    found = inspect(engine)
    names = {*found.get_table_names(), *found.get_view_names()} - {"syncjob_version"}
    engine.dispose()
    assert {name for name in TABLES if re.fullmatch(r"[a-z_]+", name)} == names


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_column_is_on_the_page(table: Any) -> None:
    """In the order of the table: name, key, both types, whether it may be null, and a meaning."""
    expected = [
        [
            f"`{column.name}`" + (" (key)" if column.primary_key else ""),
            f"{short(column.type.compile(postgresql.dialect()))} / "
            f"{short(column.type.compile(sqlite.dialect()))}",
            "yes" if column.nullable else "no",
        ]
        for column in table.columns
    ]
    documented = rows(TABLES[table.name])
    assert [row[:3] for row in documented] == expected
    assert all(len(row[3]) > 3 for row in documented)


def test_every_column_of_the_views_is_on_the_page(databases: Databases) -> None:
    """In their order, with PostgreSQL's types."""
    engine = open_engine(databases.make())
    found = inspect(engine)
    for view in found.get_view_names():
        columns = found.get_columns(view)
        documented = rows(TABLES[view])
        assert [row[0] for row in documented] == [f"`{column['name']}`" for column in columns], view
        if databases.kind == "postgresql":
            kinds = [short(column["type"].compile(postgresql.dialect())) for column in columns]
            assert [row[1] for row in documented] == [
                kind.split(" COLLATE")[0] for kind in kinds
            ], view
    engine.dispose()


# --- commands -----------------------------------------------------------------------------

COMMANDS = sections("commands.md")
COMMON = {option for common in _common_options() for option in common.opts} | {"--help"}


def commands(group: click.Group, name: str) -> dict[str, click.Command]:
    """All commands below a group, by the words that call them."""
    found: dict[str, click.Command] = {}
    for word, command in group.commands.items():
        found[f"{name} {word}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{name} {word}")
    return found


ALL = {"syncjob": cli, **commands(cli, "syncjob")}


def test_every_command_has_its_section() -> None:
    """Those of the program, groups and theirs, and no other."""
    assert {name for name in COMMANDS if name.startswith("syncjob")} == set(ALL)


@pytest.mark.parametrize("name", sorted(set(ALL) & set(COMMANDS)))
def test_every_option_is_in_its_section(name: str) -> None:
    """Each option and argument of the command, and no other; the common ones are listed once."""
    documented = {
        word
        for row in rows(COMMANDS[name])
        for word in re.findall(r"`(--?[a-z-]+|[A-Z]+)(?:[ `])", row[0])
    }
    options = {
        option
        for parameter in ALL[name].params
        for option in (
            parameter.opts if isinstance(parameter, click.Option) else [str(parameter.name).upper()]
        )
    }
    assert documented == options - COMMON


def test_the_common_options_are_told_once() -> None:
    """Under "All commands", each of them."""
    documented = re.findall(
        r"`(--?[a-z-]+)", " ".join(row[0] for row in rows(COMMANDS["All commands"]))
    )
    assert set(documented) == COMMON


@pytest.mark.parametrize("name", sorted(set(ALL) & set(COMMANDS)))
def test_what_an_option_takes_is_told(name: str) -> None:
    """A metavar or choices are as --help has them; a flag takes nothing."""
    for parameter in ALL[name].params:
        if not isinstance(parameter, click.Option) or parameter.opts[-1] in COMMON:
            continue
        (row,) = (row for row in rows(COMMANDS[name]) if f"`{parameter.opts[0]}" in row[0])
        takes = re.sub(r"\\", "", row[0].strip("`").partition(" ")[2])
        if parameter.is_flag:
            assert takes == "", parameter.name
        elif isinstance(parameter.type, click.Choice):
            assert takes == f"[{'|'.join(parameter.type.choices)}]", parameter.name
        else:
            assert takes, parameter.name
            assert takes == (parameter.metavar or takes), parameter.name


TELLS = ROOT / "syncjob/notices/channels.py"
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_calls_a_command_is_one(page: Path) -> None:
    """Each `syncjob …` in its text or blocks is a command with options that it has."""
    text = page.read_text("utf-8")
    for shown in re.findall(
        r"`(syncjob (?!asked )[a-z-][^`\n]*)`|(?:-- |^\$ )(syncjob [^`\n]*)", text, re.MULTILINE
    ):
        words = re.split(r"\s*(?:[#|;)]|&&|--(?= ))", "".join(shown))[0].split()[1:]
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        name = "syncjob"
        for word in words:
            name = f"{name} {word}" if f"{name} {word}" in ALL else name
        known = {option for parameter in ALL[name].params for option in parameter.opts} | COMMON
        known |= {"-vv", "--help"} | ({"--version"} if name == "syncjob" else set())
        assert set(options) <= known, "".join(shown)
        assert name != "syncjob" or not words or words[0].startswith("-"), "".join(shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_calls_a_setting_is_one(page: Path) -> None:
    """Each `SYNCJOB_…` is read by the program, or handed to the command that tells of failures."""
    handed = set(re.findall(r'"(SYNCJOB_[A-Z_]+)"', TELLS.read_text("utf-8")))
    named = set(re.findall(r"(?<![\w_])SYNCJOB_[A-Z_]+[A-Z]", page.read_text("utf-8")))
    assert named <= SETTING_NAMES | handed | {"SYNCJOB_CONFIG", MARK}


# --- the report ---------------------------------------------------------------------------

SCHEMA = json.loads((ROOT / "syncjob/cli/report.schema.json").read_text("utf-8"))


def test_every_field_of_the_report_is_on_the_page() -> None:
    """As many as the schema has, in its order, with its types."""
    documented = rows((REFERENCE / "report.md").read_text("utf-8"))
    expected = []
    for name, field in SCHEMA["properties"].items():
        kind = field.get("type") or ("integer" if "const" in field else "string")
        expected.append([f"`{name}`", ", ".join([kind] if isinstance(kind, str) else kind)])
    assert [row[:2] for row in documented] == expected
    assert SCHEMA["required"] == list(SCHEMA["properties"])


def test_every_status_of_the_report_is_on_the_page() -> None:
    """Those of the schema, in the row of `status`."""
    (row,) = (
        row for row in rows((REFERENCE / "report.md").read_text("utf-8")) if row[0] == "`status`"
    )
    assert set(re.findall(r"`(\w+)`", row[2])) == set(SCHEMA["properties"]["status"]["enum"])


def test_every_check_of_the_doctor_is_in_its_section_and_no_other() -> None:
    """Monitors select by these words."""
    section = sections("commands.md")["syncjob doctor"]
    cells = re.findall(r"^\| (`[a-z][^|]*) \|", section, re.MULTILINE)
    documented = {word for cell in cells for word in re.findall(r"`([a-z ]+)`", cell)}
    finds = re.compile(r"\b(?:ok|note|unchecked|warning|fault)\(\s*\"([a-z ]+)\"")
    sources = (ROOT / "syncjob/doctor").glob("*.py")
    assert documented == {
        word for path in sources for word in finds.findall(path.read_text("utf-8"))
    }
