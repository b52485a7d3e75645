"""From the message to the cure: what the pages quote is what the program prints, and all of it."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import syncjob.errors
from syncjob.database.dialects.postgresql_errors import CURES
from syncjob.database.dialects.postgresql_poolers import MESSAGES
from syncjob.database.dialects.postgresql_refusals import CONNECTION_CURES
from syncjob.database.dialects.sqlite import CURES as SQLITE_CURES
from syncjob.errors import ExitCode, SyncjobError
from syncjob.wechat.errcodes import AT_THE_TOKEN_ENDPOINTS, MEANINGS, Meaning
from syncjob.wechat.http import failure_of

POOLER_CURES = sorted({cure for _, _, cure in MESSAGES if cure})
ROOT = Path(__file__).parents[2]
PAGES = {
    "English": (ROOT / "docs/what-went-wrong.md").read_text("utf-8"),
    "Chinese": (ROOT / "docs/what-went-wrong.zh-CN.md").read_text("utf-8"),
}
# Errors whose text comes from elsewhere in the source, or that a run never ends with.
QUOTED_ELSEWHERE = {"Interrupted", "InvalidOpenID", "Refusal"}
OF_A_RUN = {
    name: kind
    for name, kind in vars(syncjob.errors).items()
    if isinstance(kind, type) and issubclass(kind, SyncjobError)
}
EXIT_CODES = {name: kind.exit_code for name, kind in OF_A_RUN.items()} | {
    "UsageError": ExitCode.SETTINGS,
    "BadParameter": ExitCode.SETTINGS,
}


def template(node: ast.AST) -> str:
    """A text of the source, `…` for what is filled in."""
    match node:
        case ast.Constant(value=value):
            return str(value)
        case ast.JoinedStr(values=values):
            return "".join(template(v) if isinstance(v, ast.Constant) else "…" for v in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return template(left) + template(right)
    return "…"


SOURCES = [
    ast.parse(path.read_text("utf-8"))
    for path in sorted((ROOT / "syncjob").rglob("*.py"))
    if "simulator" not in path.parts
]
PRINTED = sorted(
    {
        re.sub(r"%\.?\d*[sdf]", "…", line)
        for source in SOURCES
        for node in ast.walk(source)
        if isinstance(node, ast.Constant | ast.JoinedStr)
        for line in template(node).splitlines()
        if " " in line or "…" in line
    }
    | {"stopped"}
)


def raised() -> list[tuple[str, str]]:
    """Each error that the source makes: its class, and the first line of its text."""
    found = []
    for source in SOURCES:
        for node in ast.walk(source):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in EXIT_CODES and name not in QUOTED_ELSEWHERE:
                    found.append((name, template(node.args[0]).split("\n")[0]))
    return [(name, text) for name, text in found if re.search(r"\w \w", text)]


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of each part of the second level, by its heading."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return {
        heading: [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in text.splitlines()
            if line.startswith("| `")
        ]
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def messages(page: str) -> list[tuple[str, str]]:
    """Each message that a page quotes, and the heading above it."""
    return [
        (heading, quoted)
        for heading, rows in tables(page).items()
        for row in rows
        for quoted in re.findall(r"`([^`]+)`", row[0])
        if not re.fullmatch(r"-?\d+|stable_token|token", quoted)
    ]


def fits(quoted: str, text: str) -> bool:
    """Tell whether a quotation may be of a text of the source."""
    return re.search(".*?".join(map(re.escape, quoted.split("…"))), text) is not None


def code_of(heading: str) -> int | None:
    """The exit code that a heading names."""
    found = re.search(r"\d+", heading)
    return int(found[0]) if found else None


@pytest.mark.parametrize("name", PAGES)
def test_what_is_quoted_can_be_printed(name: str) -> None:
    """Every message of the page is made of words of the source, in their order."""
    quoted = messages(PAGES[name])
    assert len(quoted) > 100
    for _, words in quoted:
        assert any(fits(words, text) for text in PRINTED), words


def test_every_error_of_the_source_is_on_the_page() -> None:
    """Whatever ends a command is quoted under the heading of its exit code."""
    quoted = messages(PAGES["English"])
    made = raised()
    assert len(made) > 40
    for name, text in made:
        under = {code_of(heading) for heading, words in quoted if fits(words, text)}
        assert int(EXIT_CODES[name]) in under, f"{name}: {text}"


@pytest.mark.parametrize(
    "cure", [*CURES.values(), *SQLITE_CURES.values(), *CONNECTION_CURES.values(), *POOLER_CURES]
)
def test_every_cure_of_a_database_is_on_the_page(cure: str) -> None:
    """With the words it is printed with."""
    assert ("Exit code 4: the database", cure) in messages(PAGES["English"])


def test_every_way_to_fail_on_the_way_is_on_the_page() -> None:
    """What can break between here and WeChat."""
    (function,) = ast.parse(inspect.getsource(failure_of)).body
    output = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    assert len(output) > 5
    for words in output[1:]:  # the first is the docstring
        assert any(quoted == words for _, quoted in messages(PAGES["English"])), words


def errcodes(page: str) -> dict[tuple[int, bool], tuple[int | None, str]]:
    """Each errcode, and whether of a token endpoint: the exit code above it, and its cure."""
    return {
        (int(code), "token`" in row[0]): (code_of(heading), row[1].strip("`"))
        for heading, rows in tables(page).items()
        for row in rows
        for code in re.findall(r"`(-?\d+)`", row[0])
    }


@pytest.mark.parametrize("name", PAGES)
def test_every_errcode_is_on_the_page(name: str) -> None:
    """With the cure that is printed, below the exit code that a run ends with; and no other."""
    known: dict[tuple[int, bool], Meaning] = {
        (code, False): meaning for code, meaning in MEANINGS.items()
    } | {(code, True): meaning for code, meaning in AT_THE_TOKEN_ENDPOINTS.items()}
    assert errcodes(PAGES[name]) == {
        which: (int(meaning.error.exit_code), meaning.cure.replace("{ip}", "…"))
        for which, meaning in known.items()
    }


def test_both_pages_say_the_same() -> None:
    """The same headings, as deep, the same messages and errcodes, in the same order."""
    english, chinese = PAGES.values()
    levels = [re.findall(r"^(#+) ", page, re.MULTILINE) for page in (english, chinese)]
    assert levels[0] == levels[1]
    codes = [[code_of(heading) for heading in tables(page)] for page in (english, chinese)]
    assert codes[0] == codes[1]
    assert [words for _, words in messages(english)] == [words for _, words in messages(chinese)]
    assert list(errcodes(english)) == list(errcodes(chinese))


@pytest.mark.parametrize("start", ["SYNCJOB_", "syncjob", "--"])
def test_both_pages_name_the_same_things(start: str) -> None:
    """Settings, commands and options."""
    named = [
        sorted(code for code in re.findall(r"`([^`\n]+)`", page) if code.startswith(start))
        for page in PAGES.values()
    ]
    assert named[0] == named[1]
    assert named[0]
