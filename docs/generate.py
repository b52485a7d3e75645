"""Write into the pages what the code knows: settings, exit codes, errcodes, metrics, columns.

`make pages` runs it; with `--check` it changes nothing and ends with 1 if a page is stale.

A generated table stands between two comments, `<!-- generated: NAME -->` and `<!-- end -->`. Cells
that the code knows are replaced, rows that it does not know are removed, new rows are added. All
other cells are prose and stay, in each language; in a new row they are `TODO`, and a test fails
until somebody has written them.
"""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.dialects import postgresql, sqlite

from syncjob.config.rendering import Language, manual_cells
from syncjob.config.settings import SETTINGS
from syncjob.database import comments
from syncjob.database.tables import metadata
from syncjob.errors import ExitCode
from syncjob.wechat.errcodes import AT_THE_TOKEN_ENDPOINTS, MEANINGS

ROOT = Path(__file__).parents[1]
TODO = "TODO"
TABLE = re.compile(
    r"(?P<start><!-- generated: (?P<name>.+?) -->\n)(?P<rows>.*?)(?P<end><!-- end -->\n)", re.DOTALL
)
# The pages that a setting may refer to, with their titles in both languages.
SUBJECTS = {
    "tokens": ("Tokens", "令牌"),
    "quotas": ("Quotas", "配额"),
    "databases": ("Databases", "数据库"),
    "notices": ("Notices", "通知"),
    "metrics": ("Metrics", "指标"),
}
CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table stands: its page's language, the exit code in the heading above, its rows.

    `elsewhere` are the keys of the page's other tables of the same name; `is_last` of these below
    the same exit code.
    """

    name: str
    chinese: bool
    exit_code: int | None
    present: dict[str, list[str]]
    elsewhere: frozenset[str]
    is_last: bool


# What identifies a row, and the cells that the code knows, by their column.
Rows = dict[str, dict[int, str]]


def key_of(cell: str) -> str:
    """Return what identifies a row: the first code of its first cell, or the cell itself.

    Two errcodes mean something else where a token is asked for.
    """
    found = CODE.search(cell)
    return (found[1] if found else cell) + (" token" if "`token`" in cell else "")


# --- what the code knows ------------------------------------------------------------------


def settings(place: Place) -> Rows:
    """Return the settings with their defaults and meanings, in the order of the settings file."""
    language: Language = "zh" if place.chinese else "en"
    links = {
        subject: f"[{titles[place.chinese]}]({subject}{'.zh-CN' if place.chinese else ''}.md)"
        for subject, titles in SUBJECTS.items()
    }
    return {row.name: dict(enumerate(manual_cells(row, language, links))) for row in SETTINGS}


def exit_codes(place: Place) -> Rows:
    """Return the exit codes."""
    return {str(int(code)): {0: str(int(code))} for code in sorted(ExitCode)}


def errcodes(place: Place) -> Rows:
    """Return the errcodes that end a run with the exit code above, and the cure that is printed.

    Only those that the table has; the last one below an exit code takes those of no table.
    """
    groups: dict[tuple[str, int, bool], list[int]] = {}
    for table, token in ((MEANINGS, False), (AT_THE_TOKEN_ENDPOINTS, True)):
        for code, meaning in table.items():
            kind = (meaning.cure.replace("{ip}", "…"), int(meaning.error.exit_code), token)
            groups.setdefault(kind, []).append(code)
    comma = "、" if place.chinese else ", "
    tokens = (
        "，来自 `stable_token` 或 `token`" if place.chinese else " of `stable_token` or `token`"
    )
    rows: Rows = {}
    for (cure, exit_code, token), codes in groups.items():
        shown = comma.join(f"`{code}`" for code in sorted(codes)) + (tokens if token else "")
        key = key_of(shown)
        is_new = place.is_last and exit_code == place.exit_code and key not in place.elsewhere
        if key in place.present or is_new:
            rows[key] = {0: shown, 1: f"`{cure}`"}
    return in_page_order(place, rows)


def in_page_order(place: Place, rows: Rows) -> Rows:
    """Return the rows as the page has them, new ones at the end."""
    return {key: rows[key] for key in [*(k for k in place.present if k in rows), *rows]}


def metrics(place: Place) -> Rows:
    """Return the metrics with their labels, `appid` left out."""
    comma = "、" if place.chinese else ", "
    rows: Rows = {
        name: {0: f"`{name}`", 1: comma.join(f"`{label}`" for label in labels)}
        for name, labels in _metrics().items()
    }
    return in_page_order(place, rows)


@cache
def _metrics() -> dict[str, list[str]]:
    """Return the labels of each metric that a run leaves: of a real one, against the simulator."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "syncjob.prom"
        around = {
            **{name: value for name, value in os.environ.items() if "SYNCJOB_" not in name},
            "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
            "SYNCJOB_DATABASE_URL": f"sqlite:///{folder}/a.db",
        }
        command = f"syncjob migrate && syncjob sync && syncjob metrics > {file}"
        subprocess.run(
            ["syncjob", "simulate", "--followers", "30", "--", "sh", "-ec", command],
            env=around,
            check=True,
            capture_output=True,
        )
        families = list(text_string_to_metric_families(file.read_text("utf-8")))
    found: dict[str, list[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        found[sample.name] = [label for label in sample.labels if label != "appid"]
    return found


def tables(place: Place) -> Rows:
    """Return the tables, and in English what a row of each is."""
    rows: Rows = {table.name: {0: f"`{table.name}`"} for table in metadata.sorted_tables}
    if not place.chinese:
        for name, cells in rows.items():
            text = comments.TABLES.get(name, TODO).removeprefix("A row is ")
            cells[1] = text.replace(". Secret", " (**secret**)")
    return in_page_order(place, rows)


def columns(place: Place) -> Rows:
    """Return the columns of the table or view that the name of the place ends with."""
    name = place.name.split()[1]
    if name in comments.VIEWS:  # their types are those of a database: a test compares them
        return {
            column: {0: f"`{column}`", 2: comments.text_of(name, column) or TODO}
            for column in place.present
        }
    return {
        column.name: {
            0: f"`{column.name}`" + (" (key)" if column.primary_key else ""),
            1: f"{_type(column, postgresql.dialect())} / {_type(column, sqlite.dialect())}",
            2: "yes" if column.nullable else "no",
            3: comments.text_of(name, column.name) or TODO,
        }
        for column in metadata.tables[name].columns
    }


def _type(column: Any, dialect: Any) -> str:
    kind = column.type.compile(dialect).lower()
    kind = kind.replace("timestamp with time zone", "timestamptz")
    return str(kind.replace('collate "c"', 'COLLATE "C"'))


KNOWN: dict[str, Callable[[Place], Rows]] = {
    "settings": settings,
    "exit-codes": exit_codes,
    "errcodes": errcodes,
    "metrics": metrics,
    "tables": tables,
    "columns": columns,
}

# --- the pages ----------------------------------------------------------------------------


def pages() -> list[Path]:
    """Return the pages that may have generated tables."""
    return [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def generated(text: str, *, chinese: bool) -> str:
    """Return the text of a page with its generated tables as the code has them."""
    return TABLE.sub(lambda found: _made(text, found, chinese), text)


def _made(text: str, found: re.Match[str], chinese: bool) -> str:
    names, rule, *lines = found["rows"].splitlines()
    width = len(_cells(names))
    present = {key_of(cells[0]): cells for cells in map(_cells, lines)}
    others = [
        other
        for other in TABLE.finditer(text)
        if other["name"] == found["name"] and other.start() != found.start()
    ]
    exit_code = _exit_code(text, found)
    place = Place(
        found["name"],
        chinese,
        exit_code,
        present,
        frozenset(
            key_of(_cells(line)[0]) for other in others for line in other["rows"].splitlines()[2:]
        ),
        not any(
            other.start() > found.start() and _exit_code(text, other) == exit_code
            for other in others
        ),
    )
    made = [names, rule]
    for key, known in KNOWN[found["name"].split()[0]](place).items():
        kept = present.get(key, [TODO] * width)
        cells = [known.get(column, kept[column]) for column in range(width)]
        made.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
    return found["start"] + "\n".join(made) + "\n" + found["end"]


def _exit_code(text: str, found: re.Match[str]) -> int | None:
    """Return the exit code in the heading above a table."""
    above = re.findall(r"^## (.*)", text[: found.start()], re.MULTILINE)
    code = re.search(r"\d+", above[-1]) if above else None
    return int(code[0]) if code else None


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def main() -> None:
    """Write the pages anew, or say which are stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    check = parser.parse_args().check
    stale = []
    for page in pages():
        text = page.read_text("utf-8")
        made = generated(text, chinese=page.name.endswith(".zh-CN.md"))
        if made != text:
            stale.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(made, "utf-8")
    if stale and check:
        sys.exit(f"stale, run make pages: {', '.join(stale)}")
    print("\n".join(stale) or "all pages are up to date")


if __name__ == "__main__":
    main()
