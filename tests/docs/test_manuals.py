"""Each page of the manual says the same in both languages: headings, commands, tables, names."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.pages import MANUAL, ROOT, name_of, prose, sister_of

COMMENT = re.compile(r"(?:(?<=\s)#(?= )|^--).*$", re.MULTILINE)  # not the prompt of root


def texts(page: Path) -> tuple[str, str]:
    """The page in Chinese and in English."""
    return sister_of(page).read_text("utf-8"), page.read_text("utf-8")


def blocks(text: str) -> list[str]:
    """The blocks of code, without what their comments say."""
    found = re.findall(r"```\w+\n.*?```", text, re.DOTALL)
    return [re.sub(r"[ \t]+$", "", COMMENT.sub("", block), flags=re.MULTILINE) for block in found]


def headings(text: str) -> list[str]:
    """The levels of the headings, in their order."""
    return re.findall(r"^(#+) ", prose(text), re.MULTILINE)


def rows(text: str) -> list[list[str]]:
    """What is code in the first cell of each row of a table; the cell itself where none is."""
    cells = [row.split("|")[1].strip() for row in re.findall(r"^\|.*", text, re.MULTILINE)]
    return [re.findall(r"`[^`]*`", cell) or re.findall(r"^\d+$", cell) for cell in cells]


def test_every_page_has_a_sister() -> None:
    """And no page in Chinese is alone."""
    chinese = [ROOT / "README.zh-CN.md", *(ROOT / "docs/manual").glob("*.zh-CN.md")]
    assert sorted(chinese) == sorted(sister_of(page) for page in MANUAL)
    assert len(MANUAL) > 15


@pytest.mark.parametrize("page", MANUAL, ids=name_of)
def test_the_sisters_name_each_other(page: Path) -> None:
    """Below the title, each in the other's language."""
    chinese, english = (text.splitlines()[2] for text in texts(page))
    assert english.startswith(f"[中文]({sister_of(page).name})")
    assert chinese.startswith(f"[English]({page.name})")


@pytest.mark.parametrize("page", MANUAL, ids=name_of)
def test_they_have_the_same_headings(page: Path) -> None:
    """As many, as deep, in the same order."""
    chinese, english = texts(page)
    assert headings(chinese) == headings(english)


@pytest.mark.parametrize("page", MANUAL, ids=name_of)
def test_they_have_the_same_commands(page: Path) -> None:
    """Each block of code is the same, but for its comments."""
    chinese, english = texts(page)
    assert blocks(chinese) == blocks(english)


@pytest.mark.parametrize("page", MANUAL, ids=name_of)
def test_they_have_the_same_tables(page: Path) -> None:
    """Row by row: settings, exit codes, messages, tables and views."""
    chinese, english = texts(page)
    assert rows(chinese) == rows(english)


@pytest.mark.parametrize("start", ["SYNCJOB_", "syncjob", "make ", "--", "-v"])
@pytest.mark.parametrize("page", MANUAL, ids=name_of)
def test_they_speak_of_the_same_things(page: Path, start: str) -> None:
    """Every setting, command and option that one names, the other names as often."""
    named = [
        Counter(code for code in re.findall(r"`([^`\n]+)`", prose(text)) if code.startswith(start))
        for text in texts(page)
    ]
    assert named[0] == named[1]
