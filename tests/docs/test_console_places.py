"""Where the console has what a message asks for: one place in the code says it, and pages agree."""

import re
from pathlib import Path

import pytest

from syncjob.wechat.console import CONSOLE, KEYS, PERMISSIONS
from syncjob.wechat.errcodes import MEANINGS

ROOT = Path(__file__).parents[2]
# The menus of mp.weixin.qq.com that WeChat has taken away.
GONE = re.compile(r"设置与开发|基本配置|开发接口管理|公众平台 *>|开发设置")
NAMES = ["syncjob", "docs", "deploy", "examples", "benchmarks", "migrations"]
TEXTS = [
    path
    for path in [*ROOT.glob("*.md"), *(file for name in NAMES for file in (ROOT / name).rglob("*"))]
    if path.suffix in {".md", ".py", ".toml", ".yml", ".yaml", ".json", ".service", ""}
    and path.is_file()
    and not {"__pycache__", ".venv"} & {*path.parts}
    and path.name != "CHANGELOG.md"  # it says what was
]


def test_no_text_sends_anybody_to_a_menu_that_is_gone() -> None:
    """WeChat has moved AppID, secret, whitelist and permissions to another site."""
    assert len(TEXTS) > 150
    found = {
        f"{path.relative_to(ROOT)}: {line}"
        for path in TEXTS
        for line in path.read_text("utf-8").splitlines()
        if GONE.search(line)
    }
    assert not found


@pytest.mark.parametrize("errcode", [40001, 40013, 40125, 40164, 40243, 41004, 48001])
def test_a_cure_that_sends_to_the_console_says_where_in_it(errcode: int) -> None:
    """The site, and the way through its menus."""
    from syncjob.wechat.errcodes import meaning_of

    cure = meaning_of(errcode, token_endpoint=True).cure
    assert (PERMISSIONS if errcode == 48001 else KEYS) in cure
    assert CONSOLE in cure


def test_who_is_not_on_the_whitelist_learns_both_facts() -> None:
    """A changed whitelist counts after minutes, and not everybody may change it."""
    cure = MEANINGS[40164].cure
    assert "some minutes" in cure
    assert "administrator or developer" in cure


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/what-went-wrong.md"])
def test_the_pages_name_the_place_of_the_code(name: str) -> None:
    """The same menus in the same order, in both languages."""
    menus = KEYS.partition(") > ")[2]
    assert menus == "我的业务 > 公众号/服务号 > 基础信息 > 开发密钥"
    text = " ".join((ROOT / name).read_text("utf-8").split())
    assert menus in text
    assert CONSOLE in text


def test_the_settings_file_that_init_writes_names_it(tmp_path: Path) -> None:
    """Where it asks for AppID and secret."""
    from syncjob.cli.main import run

    assert run(["init", str(tmp_path / "a.toml")]) == 0
    assert KEYS in (tmp_path / "a.toml").read_text("utf-8")
