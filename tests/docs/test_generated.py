"""What is generated into the pages is what the code says now, and each page has its tables."""

import re

import pytest

from docs import generate
from tests.docs.pages import read

PLACES = {
    "README.md": ["exit-codes"],
    "README.zh-CN.md": ["exit-codes"],
    "docs/manual/settings.md": ["settings"],
    "docs/manual/settings.zh-CN.md": ["settings"],
    "docs/manual/metrics.md": ["metrics"],
    "docs/manual/metrics.zh-CN.md": ["metrics"],
    "docs/manual/tables.md": ["tables"],
    "docs/manual/tables.zh-CN.md": ["tables"],
}
SETTINGS = """## 1

<!-- generated: settings -->
| name | default | meaning |
|---|---|---|
| `SYNCJOB_GONE` | `1` | of another version |
| `SYNCJOB_TIMEOUT` | `99s` | prose that stays |
<!-- end -->
"""


@pytest.mark.parametrize("page", generate.pages(), ids=lambda page: page.name)
def test_no_page_is_stale(page: generate.Path) -> None:
    """`make pages` would change nothing, and every row of a table is written."""
    text = page.read_text("utf-8")
    assert generate.generated(text, chinese=page.name.endswith(".zh-CN.md")) == text
    assert "| TODO |" not in text


@pytest.mark.parametrize("name", PLACES)
def test_the_tables_are_where_a_reader_looks(name: str) -> None:
    """None has lost the comments around it, by which it is found."""
    assert re.findall(r"<!-- generated: (.+?) -->", read(name)) == PLACES[name]


def test_the_settings_are_what_the_code_says() -> None:
    """A wrong default or meaning is corrected, a setting that is none goes, new ones come."""
    made = generate.generated(SETTINGS, chinese=False)
    assert "| `SYNCJOB_TIMEOUT` | `30s` | the time that one call may take" in made
    assert "SYNCJOB_GONE" not in made
    assert "| `SYNCJOB_DATABASE_URL` (or `…_FILE`) | `sqlite:///syncjob.db` | `postgres" in made
    assert "see [Databases](databases.md)" in made
    assert "prose" not in made
    assert generate.generated(made, chinese=False) == made


def test_prose_stays_where_the_code_does_not_know_it() -> None:
    """Of an exit code the page says what it means; a new one is to be written."""
    page = (
        "<!-- generated: exit-codes -->\n| code | means |\n|---|---|\n| 6 | prose |\n<!-- end -->\n"
    )
    made = generate.generated(page, chinese=False)
    assert "| 6 | prose |" in made
    assert "| 75 | TODO |" in made


def test_a_new_errcode_comes_below_its_exit_code() -> None:
    """Into the last table there, with its cure; a code of another exit code does not."""
    page = """## Exit code 75

<!-- generated: errcodes -->
| errcode | the second line says | why |
|---|---|---|
<!-- end -->

<!-- generated: errcodes -->
| errcode | the second line says | why |
|---|---|---|
| `45011` | old words | because |
<!-- end -->
"""
    made = generate.generated(page, chinese=False)
    first, last = re.findall(r"<!-- generated.*?<!-- end -->", made, re.DOTALL)
    assert first.count("\n| `") == 0
    assert re.search(r"\| `45011` \| `the minute.*` \| because \|", last)
    assert re.search(r"\| `-1`, `268487001`.* \| `WeChat is busy.*` \| TODO \|", last)
    assert "40164" not in made
