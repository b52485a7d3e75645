"""What the how-to pages promise holds: rows that are moved are all there, people are gone."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text, create_engine, make_url, select, text

from examples import copy_database
from syncjob.database.engine import open_engine
from syncjob.database.tables import metadata
from syncjob.errors import SyncjobError
from tests.conftest import Databases, World

Query = Callable[..., list[Any]]
DOCS = Path(__file__).parents[2] / "docs"
PERSON = "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"  # of the pages
PRIVACY = (DOCS / "howto/privacy-requests.md").read_text("utf-8")
SQL = {
    page.name: found
    for page in sorted(DOCS.rglob("*.md"))
    if page.parent.name != "manual"  # test_docs.py
    and (found := re.findall(r"```sql\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
}


def statements(block: str) -> list[str]:
    """The statements of a block; a test has transactions of its own."""
    found = [statement.strip().replace(":", "\\:") for statement in block.split(";")]
    return [statement for statement in found if statement not in ("", "BEGIN", "COMMIT")]


def rows(url: str, *, without: tuple[str, ...] = ("access_tokens",)) -> dict[str, list[Any]]:
    """All rows of all tables, sorted."""
    engine = open_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in metadata.sorted_tables
            if table.name not in without
        }
    engine.dispose()
    return found


def mentions(query: Query, openid: str) -> list[str]:
    """The columns of all tables that hold the OpenID anywhere."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type.dialect_impl(create_engine("sqlite://").dialect), Text)
        and query(f'SELECT 1 FROM {table.name} WHERE "{column.name}" LIKE :it', it=f"%{openid}%")
    ]


@pytest.fixture
def lively(world: Callable[..., World]) -> World:
    """An account with a history: some left, one came back, one is refused, a sweep is open."""
    wechat = world(250, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    account = wechat.account
    people = list(account.openids())
    account.poison(people[7])
    assert wechat.run("sync") == 0
    for openid in people[:5]:
        account.unfollow(openid)
    assert wechat.run("sync") == 0
    account.refollow(people[0])
    assert wechat.run("sync") == 0
    account.unfollow(people[20])
    assert wechat.run("sync", "--max-pages", "1") == 0
    return wechat


@pytest.mark.parametrize("page", SQL)
def test_the_sql_of_the_page_runs(world: Callable[..., World], query: Query, page: str) -> None:
    """Every statement shown runs on both databases, in its order, after a real sync."""
    assert world(30).run("sync") == 0
    for block in SQL[page]:
        for statement in statements(block):
            assert query(statement) is not None


# --- moving -------------------------------------------------------------------------------


@pytest.fixture
def other_kind(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """A fresh database of the other kind."""
    other = {"sqlite": "postgresql", "postgresql": "sqlite"}[databases.kind]
    yield request.getfixturevalue(f"{other}_databases").make()


def test_a_copy_has_every_row_and_goes_on(
    lively: World, database_url: str, other_kind: str, query: Query
) -> None:
    """Table by table the copy is equal; then both sync the same change to the same rows."""
    copied = copy_database.copy(database_url, other_kind)
    before = rows(database_url)
    assert rows(other_kind) == before
    assert copied == {name: len(those) for name, those in before.items()}
    for table in ("past_follow_periods", "quarantine", "sweep_openids", "sweeps", "runs"):
        assert before[table], f"nothing to copy in {table}"
    assert query("SELECT count(*) FROM access_tokens") == [(1,)]

    lively.account.follow(4)
    ended = []
    for url in (database_url, other_kind):
        lively.set(SYNCJOB_DATABASE_URL=url)
        assert lively.run("sync") == 0
        engine = open_engine(url)
        with engine.connect() as connection:
            ended.append(
                connection.execute(
                    text(
                        "SELECT openid, subscribe, first_sweep_id, unfollowed_before IS NULL, "
                        "enriched_at IS NULL FROM followers ORDER BY openid"
                    )
                ).all()
            )
            newest = connection.execute(
                text(
                    "SELECT max(id), count(*) FROM runs UNION ALL "
                    "SELECT max(id), count(*) FROM sweeps"
                )
            ).all()
        engine.dispose()
        assert all(highest == count for highest, count in newest), "an id was used twice or skipped"
    assert [(row[0], bool(row[1]), row[2], bool(row[3]), bool(row[4])) for row in ended[0]] == [
        (row[0], bool(row[1]), row[2], bool(row[3]), bool(row[4])) for row in ended[1]
    ]


def test_a_copy_is_refused_where_it_would_mix(
    lively: World, database_url: str, other_kind: str
) -> None:
    """Into a database that holds an account nothing is copied."""
    copy_database.copy(database_url, other_kind)
    before = rows(other_kind)
    with pytest.raises(SyncjobError, match="holds an account already"):
        copy_database.copy(database_url, other_kind)
    assert rows(other_kind) == before


def test_a_copy_is_refused_while_a_run_is_at_work(
    lively: World, database_url: str, other_kind: str, query: Query
) -> None:
    """A row that says `running` stops it."""
    query("UPDATE runs SET status = 'running', finished_at = NULL WHERE id = 1")
    with pytest.raises(SyncjobError, match="in progress in the source"):
        copy_database.copy(database_url, other_kind)


def test_a_fresh_sync_loses_what_the_page_says(
    lively: World, database_url: str, other_kind: str
) -> None:
    """Unfollows, earlier periods and first_seen_at cannot be fetched from WeChat again."""
    old = rows(database_url)
    lively.set(SYNCJOB_DATABASE_URL=other_kind)
    assert lively.run("sync") == 0
    new = rows(other_kind)
    assert old["past_follow_periods"]
    assert not new["past_follow_periods"]
    assert len(new["followers"]) == len(old["followers"]) - 5
    assert not set(new["followers"]) & set(old["followers"])


# --- people -------------------------------------------------------------------------------


def test_the_page_names_every_table_that_holds_a_person(lively: World, query: Query) -> None:
    """Wherever an OpenID of anybody is stored, the page says so."""
    named = set(re.findall(r"^\| `(\w+)` \|", PRIVACY, re.MULTILINE))
    assert named == {
        table.name
        for table in metadata.sorted_tables
        if {"openid", "next_openid"} & set(table.c.keys())
    }
    for openid in list(lively.account.openids())[::25]:
        assert {place.split(".")[0] for place in mentions(query, openid)} <= named


def test_who_is_deleted_is_gone_from_every_table(lively: World, query: Query) -> None:
    """After the page's statements no table holds the OpenID, and the next runs go on."""
    assert lively.run("sync") == 0  # the open sweep ends
    for openid in (
        query("SELECT openid FROM past_follow_periods")[0][0],
        query("SELECT openid FROM quarantine")[0][0],
        query("SELECT next_openid FROM sweeps WHERE id = 1")[0][0],
    ):
        assert mentions(query, openid)
        (block,) = re.findall(r"```sql\n(BEGIN;.*?)```", PRIVACY, re.DOTALL)
        for statement in statements(block.replace(PERSON, openid)):
            query(statement)
        assert mentions(query, openid) == []
        assert lively.run("sync") == 0
        assert mentions(query, openid) != []  # WeChat still lists them
        lively.account.unfollow(openid)
        for statement in statements(block.replace(PERSON, openid)):
            query(statement)
        assert lively.run("sync") == 0
        assert mentions(query, openid) == []


def test_a_list_of_those_not_to_be_stored_keeps_them_out(lively: World, query: Query) -> None:
    """Deleted after each run, they are gone after each; the runs succeed all the same."""
    make, forget = re.findall(r"```sql\n([^`]*?not_to_be_stored[^`]*?)```", PRIVACY)
    (openid,) = query("SELECT max(openid) FROM followers WHERE subscribe")[0]
    for statement in statements(make.replace(PERSON, openid)):
        query(statement)
    for _ in range(2):
        assert lively.run("sync") == 0
        for statement in statements(forget):
            query(statement)
        assert query("SELECT * FROM followers WHERE openid = :it", it=openid) == []


def test_a_restored_backup_catches_up(
    serve: Callable[..., World], sqlite_databases: Databases, sqlite_url: str
) -> None:
    """Its sweep finds who came and who left; who came and left in between was never there.

    Of a SQLite file; restoring-a-backup.md does it with pg_restore.
    """
    wechat = serve(250, page_size=100)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_SWEEP_EVERY="0")
    assert wechat.run("sync", "--max-pages", "2") == 0
    backup = sqlite_databases.make_empty()
    engine = create_engine(sqlite_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"VACUUM INTO '{make_url(backup).database}'"))
    engine.dispose()
    assert wechat.run("sync") == 0
    gone, (passing,) = next(iter(wechat.account.openids())), wechat.account.follow()
    assert wechat.run("sync") == 0
    wechat.account.unfollow(gone)
    wechat.account.unfollow(passing)
    assert wechat.run("sync") == 0

    wechat.set(SYNCJOB_DATABASE_URL=backup)
    assert wechat.run("sync") == 0  # the sweep that was open goes on from its cursor
    assert wechat.run("sync") == 0
    held = rows(backup)["followers"]
    assert len(held) == 250  # page one, which had whoever left, was stored before the backup
    assert not any(passing in row for row in held)
