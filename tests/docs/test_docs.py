"""The manual is true: its settings, exit codes, tables, views and SQL are those of the code."""

import os
import re
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from subprocess import check_output
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncjob.cli.main import cli
from syncjob.config.file import SETTING_NAMES
from syncjob.database.tables import metadata
from syncjob.errors import ExitCode
from tests.conftest import Databases, World
from tests.docs.pages import MANUAL, read

Query = Callable[..., list[Any]]
PROFILES = "syncjob/simulator/profiles.py"
TEXT = "\n".join(page.read_text("utf-8") for page in MANUAL)
SQL = [
    block
    for block in re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    if "CREATE ROLE" not in block  # tests/database/test_comments.py
]


def test_every_setting_is_in_the_manual_and_no_other() -> None:
    """The table of settings names what the code reads."""
    named = set(re.findall(r"^\| `(SYNCJOB_\w+)`", read("docs/manual/settings.md"), re.MULTILINE))
    assert named == {
        name
        for name in SETTING_NAMES
        if not (name.endswith("_FILE") and name.removesuffix("_FILE") in SETTING_NAMES)
    }


def test_every_exit_code_is_in_the_manual_and_no_other() -> None:
    """The table of exit codes has those of the code."""
    named = re.findall(r"^\| (\d+) \|", read("README.md"), re.MULTILINE)
    assert [int(code) for code in named] == sorted(ExitCode)


def test_every_table_is_in_the_manual_and_no_other() -> None:
    """The table of tables has those of the schema, and each of followers' columns is named."""
    text = read("docs/manual/tables.md")
    tables = text.split("<!-- generated: tables -->")[1].split("<!-- end -->")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE)) == set(metadata.tables)
    for column in metadata.tables["followers"].columns:
        assert f"`{column.name}`" in text, column.name


@pytest.mark.parametrize("name", ["docs/manual/tables.md", "docs/manual/tables.zh-CN.md"])
def test_every_channel_that_wechat_documents_is_explained(name: str) -> None:
    """The values of subscribe_scene, as the simulator has them."""
    found = re.findall(r"^\| `(ADD_SCENE_\w+)` \| \S", read(name), re.MULTILINE)
    assert sorted(found) == sorted(re.findall(r'"(ADD_SCENE_\w+)",', read(PROFILES)))


def test_every_command_in_the_manual_is_one() -> None:
    """Each `syncjob …` that the manual shows is a command of the program."""
    shown = set(re.findall(r"(?<!-[goOu] )syncjob (?:-v+ )?([a-z]{3,})\b", TEXT))
    commands = {name for name in shown if name in cli.commands}
    assert commands == set(cli.commands)
    prose = {"and", "does", "keeps", "marks", "needs", "polls", "syncjob", "tables", "works"}
    assert shown - commands <= prose


MARKED = re.compile(r"^(?:--)?(.*?) +-- (PostgreSQL|SQLite)$")


def statements(block: str, kind: str, appid: str) -> list[str]:
    """The statements of a block as a reader with that database and account runs them."""
    lines = []
    for line in block.replace("wx0123456789abcdef", appid).splitlines():
        marked = MARKED.match(line)
        if marked is None:
            lines.append(line)
        elif marked[2].lower() == kind:
            lines.append(marked[1])
    found = "\n".join(lines).split(";")
    return [statement.replace(":", "\\:") for statement in found if statement.strip()]


def the_one(words: str, kind: str, appid: str) -> str:
    """The statement of the manual with these words in it."""
    made = [one for block in SQL for one in statements(block, kind, appid) if words in one]
    (statement,) = made
    return statement


@pytest.mark.parametrize("block", SQL, ids=range(len(SQL)))
def test_the_sql_of_the_manual_runs(
    world: Callable[..., World], query: Query, databases: Databases, block: str
) -> None:
    """Every statement shown runs on both databases, after a real sync."""
    wechat = world(30)
    assert wechat.run("sync") == 0
    for statement in statements(block, databases.kind, wechat.simulator.appid):
        assert query(statement) is not None


@pytest.fixture
def known(serve: Callable[..., World], database_url: str, query: Query) -> str:
    """A database with two accounts, four people and seven; the AppID of the first.

    All of them follow since 20 January 2026, and by one channel.
    """
    wechats = [serve(people, seed=seed) for people, seed in ((4, 1), (7, 2))]
    for wechat in wechats:
        wechat.set(
            SYNCJOB_DATABASE_URL=database_url,
            SYNCJOB_API_URL=wechat.url,
            SYNCJOB_APPID=wechat.simulator.appid,
            SYNCJOB_APPSECRET=wechat.simulator.secret,
        )
        assert wechat.run("sync") == 0
    appid = wechats[0].simulator.appid
    query(
        "UPDATE followers SET followed_before = :first, followed_after = :first, "
        "subscribe_scene = 'ADD_SCENE_SEARCH'",
        first="2026-01-20 04:00:00",
    )
    return appid


def days(query: Query, kind: str) -> list[str]:
    """The last seven days in China, the oldest first, as the database's clock has them."""
    today = "date('now', '+8 hours')"
    if kind == "postgresql":
        today = "CAST(CAST(now() AT TIME ZONE 'Asia/Shanghai' AS date) AS text)"
    ((text,),) = query(f"SELECT {today}")
    return [str(date.fromisoformat(text) - timedelta(days=n)) for n in range(6, -1, -1)]


def test_the_last_week_has_a_line_for_every_day(
    known: str, query: Query, databases: Databases
) -> None:
    """Seven days in China, also those on which nothing happened, of one account alone."""
    week = days(query, databases.kind)
    ((person,),) = query(
        "SELECT min(openid) FROM current_followers WHERE appid = :appid", appid=known
    )
    query(
        "UPDATE followers SET followed_before = :early, followed_after = :early "
        "WHERE openid = :person",
        early=f"{week[1]} 16:30:00+00:00" if databases.kind != "sqlite" else f"{week[1]} 16:30:00",
        person=person,
    )
    found = query(the_one("AS day\n", databases.kind, known))
    assert [str(row[0]) for row in found] == week
    # 16:30 UTC is 00:30 of the next day in China.
    assert [tuple(map(int, row[1:])) for row in found] == [
        *[(0, 0, 3)] * 2,
        (1, 0, 4),
        *[(0, 0, 4)] * 4,
    ]


def test_the_last_week_of_an_account_where_nothing_happened(
    known: str, query: Query, databases: Databases
) -> None:
    """Seven lines of nothing, not the seven days on which something last did."""
    found = query(the_one("AS day\n", databases.kind, known))
    assert [tuple(map(int, row[1:])) for row in found] == [(0, 0, 4)] * 7


def test_the_channels_are_those_of_one_account(
    known: str, query: Query, databases: Databases
) -> None:
    """The other account's people are not counted, nor who has left."""
    people = [row[0] for row in query("SELECT openid FROM current_followers ORDER BY appid")]
    assert len(people) == 11
    of_account = [
        row[0] for row in query("SELECT openid FROM current_followers WHERE appid = :a", a=known)
    ]
    query(
        "UPDATE followers SET subscribe_scene = 'ADD_SCENE_QR_CODE' WHERE openid = :person",
        person=of_account[0],
    )
    assert query(the_one("subscribe_scene, count", databases.kind, known)) == [
        ("ADD_SCENE_SEARCH", 3),
        ("ADD_SCENE_QR_CODE", 1),
    ]


def test_retention_counts_who_still_follows_by_month(
    known: str, query: Query, databases: Databases
) -> None:
    """Months in China; a period that has ended is not one that still goes on."""
    people = [
        row[0] for row in query("SELECT openid FROM current_followers WHERE appid = :a", a=known)
    ]
    is_sqlite = databases.kind == "sqlite"
    query(  # 00:30 on the first of February in China
        "UPDATE followers SET followed_before = :at, followed_after = :at WHERE openid = :person",
        at="2026-01-31 16:30:00" + ("" if is_sqlite else "+00:00"),
        person=people[0],
    )
    query(
        "UPDATE followers SET subscribe = false, unsubscribed_at = :at, unfollowed_after = :at, "
        "unfollowed_before = :at WHERE openid = :person",
        at="2026-03-01 00:00:00" + ("" if is_sqlite else "+00:00"),
        person=people[1],
    )
    found = query(the_one("AS percent", databases.kind, known))
    assert [(*row[:3], float(row[3])) for row in found] == [
        ("2026-01", 3, 2, 66.7),
        ("2026-02", 1, 1, 100.0),
    ]


def test_who_came_back_is_of_one_account(known: str, query: Query, databases: Databases) -> None:
    """With the number of their periods."""
    ((person, account),) = query(
        "SELECT min(f.openid), min(f.account_id) FROM followers f JOIN accounts a "
        "ON a.id = f.account_id WHERE a.appid = :a",
        a=known,
    )
    ((stranger, other),) = query(
        "SELECT min(openid), min(account_id) FROM followers WHERE account_id <> :a", a=account
    )
    for account_id, openid in ((account, person), (other, stranger)):
        query(
            "INSERT INTO past_follow_periods (account_id, openid, followed_before, "
            "unfollowed_after, unfollowed_before) VALUES (:a, :o, :f, :u, :u)",
            a=account_id,
            o=openid,
            f="2025-01-01 00:00:00",
            u="2025-06-01 00:00:00",
        )
    assert query(the_one("AS periods", databases.kind, known)) == [(person, 2)]


def test_status_at_counts_as_the_sql_of_the_manual_does(
    world: Callable[..., World],
    query: Query,
    databases: Databases,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`status --at` and the SELECT that the manual gives agree."""
    wechat = world(30)
    wechat.run("sync")
    statement = the_one("at_least", databases.kind, wechat.simulator.appid)
    ((at_least, at_most),) = query(statement.replace("2026-11-01", "2018-11-01"))
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
    output = {
        name: set(re.findall(r"`(\w+)`", labels))
        for names, labels in re.findall(
            r"^\| (`sync[^|]*) \| ([^|]*)\|", read("docs/manual/metrics.md"), re.M
        )
        for name in re.findall(r"`(\w+)`", names)
    }
    assert output == left
