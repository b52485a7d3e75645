"""The pages of the documentation, and how tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHINESE = ".zh-CN.md"
# The manual in English, the README first; each page has a sister in Chinese.
MANUAL = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs/manual").glob("*.md") if not p.name.endswith(CHINESE)),
]
DOCS = sorted((ROOT / "docs").rglob("*.md"))


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def sister_of(page: Path) -> Path:
    """The same page in Chinese."""
    return page.with_name(page.name.removesuffix(".md") + CHINESE)


def read(name: str) -> str:
    """The text of a page, by its path in the repository."""
    return (ROOT / name).read_text("utf-8")


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    return {
        re.sub(r"[^\w一-鿿-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"^#+ (.*)", prose(text), re.MULTILINE)
    }
