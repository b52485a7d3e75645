"""The two manuals say the same: headings, commands, settings, codes and tables, in step."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text("utf-8")
COMMENT = re.compile(r"(?:(?<=\s)#(?= )|^--).*$", re.MULTILINE)  # not the prompt of root


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


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


def test_they_have_the_same_headings() -> None:
    """As many, as deep, in the same order."""
    assert headings(CHINESE) == headings(ENGLISH)
    assert len(headings(ENGLISH)) > 15


def test_they_have_the_same_commands() -> None:
    """Each block of code is the same, but for its comments."""
    assert blocks(CHINESE) == blocks(ENGLISH)
    assert len(blocks(ENGLISH)) > 10


def test_they_have_the_same_tables() -> None:
    """Row by row: settings, exit codes, messages, tables and views."""
    assert rows(CHINESE) == rows(ENGLISH)


@pytest.mark.parametrize("start", ["SYNCJOB_", "syncjob", "make ", "--", "-v"])
def test_they_speak_of_the_same_things(start: str) -> None:
    """Every setting, command and option that one names, the other names as often."""
    named = [
        Counter(code for code in re.findall(r"`([^`\n]+)`", prose(text)) if code.startswith(start))
        for text in (CHINESE, ENGLISH)
    ]
    assert named[0] == named[1]
    assert named[0]


@pytest.mark.parametrize("text", [CHINESE, ENGLISH], ids=["Chinese", "English"])
def test_every_link_leads_somewhere(text: str) -> None:
    """To a file of the repository, or to a heading of the same manual."""
    anchors = {
        re.sub(r"[^\w一-鿿-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"^#+ (.*)", prose(text), re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (ROOT / target).exists(), target
