"""What tables, views and columns mean is in the database, and secrets are not the analyst's."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import ProgrammingError

from syncjob.database import comments
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.schema import migrations_folder, upgrade
from syncjob.database.tables import metadata
from tests.conftest import Databases

PAGE = Path(__file__).parents[2] / "docs/manual/tables.md"
COMMENTS = (
    "SELECT c.relname, coalesce(a.attname, ''), d.description FROM pg_class c "
    "JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass "
    "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v')"
)


def commented(url: str) -> dict[tuple[str, str], str]:
    """The comments of a PostgreSQL database, by table or view and column ('' for itself)."""
    engine = open_engine(url)
    with reading(engine) as connection:
        found = {(row[0], row[1]): row[2] for row in connection.execute(text(COMMENTS))}
    engine.dispose()
    return found


def test_every_table_column_and_view_has_a_text() -> None:
    """A column without one is missing from comments.py; a text without a column is left over."""
    for name, table in metadata.tables.items():
        assert set(comments.COLUMNS[name]) == set(table.columns.keys()), name
    assert set(comments.TABLES) == set(metadata.tables)
    described = set(comments.TABLES) | set(comments.VIEWS) - {"current_followers"}
    assert set(comments.COLUMNS) == described


def test_the_database_has_the_texts(postgresql_databases: Databases) -> None:
    """Of each table, view and column, without the marks of Markdown."""
    url = postgresql_databases.make()
    found = commented(url)
    engine = open_engine(url)
    with reading(engine) as connection:
        seen = inspect(connection)
        expected = {
            (name, column)
            for name in [*metadata.tables, *comments.VIEWS]
            for column in ["", *(column["name"] for column in seen.get_columns(name))]
        }
    engine.dispose()
    assert set(found) == expected
    assert found["followers", "openid"] == "the person's key in this account; compared byte by byte"
    assert found["current_followers", "remark"] == found["followers", "remark"]
    assert not any("`" in words for words in found.values())


def test_comments_come_again_and_go(databases: Databases) -> None:
    """Going back a revision removes them, the migration brings them, on a database in use too."""
    url = databases.make()
    engine = open_engine(url)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0010")
    if databases.kind == "postgresql":
        assert commented(url) == {}
    upgrade(url)
    with writing(engine) as connection:
        comments.write(connection)  # once more
    engine.dispose()
    if databases.kind == "postgresql":
        assert ("runs", "") in commented(url)


@pytest.fixture
def analyst(postgresql_databases: Databases) -> Iterator[Callable[[str], list[Any]]]:
    """What a role can ask that was made as the manual says."""
    url = make_url(postgresql_databases.make()).set(drivername="postgresql+psycopg")
    role = f"analyst_{uuid4().hex[:8]}"
    (block,) = re.findall(r"```sql\n(CREATE ROLE.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    block = block.replace("crm_wechat", str(url.database))
    block = re.sub(r"\banalyst\b", role, block)
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    asking = create_engine(url.set(username=role, password="secret"))
    with owner.connect() as connection:
        for statement in block.split(";"):
            if statement.strip():
                connection.execute(text(statement))

        def ask(statement: str) -> list[Any]:
            with asking.connect() as session:
                done = session.execute(text(statement))
                return list(done) if done.returns_rows else []

        yield ask
        asking.dispose()
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))
    owner.dispose()


@pytest.mark.parametrize("view", comments.VIEWS)
def test_an_analyst_reads_the_views(analyst: Callable[[str], list[Any]], view: str) -> None:
    """Each of them."""
    assert analyst(f"SELECT * FROM {view}") == []


def test_an_analyst_finds_an_account_by_its_appid(analyst: Callable[[str], list[Any]]) -> None:
    """As the examples of the manual do."""
    assert analyst("SELECT id, appid FROM accounts") == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT access_token FROM access_tokens",
        "SELECT count(*) FROM access_tokens",
        "SELECT hash_key FROM accounts",
        "SELECT * FROM accounts",
        "SELECT * FROM followers",
        "SELECT message FROM runs",
        "DELETE FROM followers",
        "UPDATE accounts SET appid = 'wx'",
    ],
)
def test_an_analyst_is_refused_secrets_and_writing(
    analyst: Callable[[str], list[Any]], statement: str
) -> None:
    """Tokens, the key of the hashes, other tables; and any write."""
    with pytest.raises(ProgrammingError, match="permission denied"):
        analyst(statement)
