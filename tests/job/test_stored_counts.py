"""What a run says it has stored is what the database has counted, never what was meant to be."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.conftest import Databases, World

Query = Callable[..., list[Any]]
SUMS = (
    "SELECT coalesce(sum(new), 0), coalesce(sum(enriched), 0), "
    "(SELECT count(*) FROM followers), "
    "(SELECT count(*) FROM followers WHERE enriched_at IS NOT NULL) FROM runs"
)
# Every second person, more or less.
SOME = {
    "postgresql": "ascii(right(NEW.openid, 1)) % 2 = 0",
    "sqlite": "unicode(substr(NEW.openid, -1)) % 2 = 0",
}


def drop_rows(query: Query, kind: str, event: str, *, which: str | None = None) -> None:
    """Make a trigger that drops rows of followers, and reports no error."""
    which = which or SOME[kind]
    if kind == "sqlite":
        query(
            f"CREATE TRIGGER dropper BEFORE {event} ON followers WHEN {which} "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
        return
    query(
        "CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {which} THEN RETURN NULL; END IF; RETURN NEW; END $$"
    )
    query(
        f"CREATE TRIGGER dropper BEFORE {event} ON followers FOR EACH ROW "
        "EXECUTE FUNCTION drop_row()"
    )


def drop_trigger(query: Query, kind: str) -> None:
    """Take it away."""
    query("DROP TRIGGER dropper" + (" ON followers" if kind == "postgresql" else ""))


@pytest.mark.parametrize("concurrency", ["1", "8"])
@pytest.mark.parametrize("which", [None, "1 = 1"], ids=["some", "all"])
def test_rows_that_a_trigger_drops_are_not_said_to_be_stored(
    world: Callable[..., World],
    query: Query,
    databases: Databases,
    capsys: pytest.CaptureFixture[str],
    concurrency: str,
    which: str | None,
) -> None:
    """The run ends with exit code 4 and the cause; its counts agree with the table."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    drop_rows(query, databases.kind, "INSERT", which=which)
    assert wechat.run("sync") == 4
    assert "rows in followers and named no error; a trigger or a rule drops them" in (
        capsys.readouterr().err
    )
    ((new, enriched, stored, with_profile),) = query(SUMS)
    assert (new, enriched) == (stored, with_profile)

    drop_trigger(query, databases.kind)
    assert wechat.run("sync") == 0
    assert query(SUMS) == [(300, 300, 300, 300)]


@pytest.mark.parametrize("concurrency", ["1", "8"])
def test_profiles_that_a_trigger_drops_are_not_said_to_be_stored(
    world: Callable[..., World],
    query: Query,
    databases: Databases,
    capsys: pytest.CaptureFixture[str],
    concurrency: str,
) -> None:
    """Of rows that are there already: a trigger before the update."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_CONCURRENCY=concurrency)
    assert wechat.run("sync") == 0
    drop_rows(query, databases.kind, "UPDATE")
    assert wechat.run("backfill") == 4
    assert "a trigger or a rule drops them" in capsys.readouterr().err
    (ended,) = query("SELECT status, enriched FROM runs ORDER BY id DESC LIMIT 1")
    assert ended[0] == "failed"
    assert ended[1] <= 150
    drop_trigger(query, databases.kind)
    assert wechat.run("backfill") == 0
    assert query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(0,)]


def test_a_rule_that_drops_rows_ends_the_run(
    serve: Callable[..., World], postgresql_databases: Databases
) -> None:
    """PostgreSQL's other way to do nothing and say so to nobody."""
    wechat = serve(300, page_size=100)
    url = postgresql_databases.make()
    wechat.set(SYNCJOB_DATABASE_URL=url)
    import psycopg

    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE RULE dropper AS ON INSERT TO followers DO INSTEAD NOTHING")
        assert wechat.run("sync") == 4
        assert other.execute(SUMS).fetchone() == (0, 0, 0, 0)
        other.execute("DROP RULE dropper ON followers")
        assert wechat.run("sync") == 0
        assert other.execute(SUMS).fetchone() == (300, 300, 300, 300)


def test_a_commit_that_is_refused_stores_and_says_nothing(
    serve: Callable[..., World], postgresql_databases: Databases
) -> None:
    """A check that waits for the commit undoes the transaction, its counts among it."""
    import psycopg

    wechat = serve(300, page_size=100)
    url = postgresql_databases.make()
    wechat.set(SYNCJOB_DATABASE_URL=url)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no'; END $$"
        )
        other.execute(
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON followers "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        assert wechat.run("sync") == 4
        assert other.execute(SUMS).fetchone() == (0, 0, 0, 0)


def test_no_option_keeps_what_is_stored_from_being_committed(
    serve: Callable[..., World], postgresql_databases: Databases
) -> None:
    """`?autocommit=false` once said "enriched" of everybody, and stored nobody: exit code 2."""
    wechat = serve(30)
    url = make_url(postgresql_databases.make())
    for value in ("false", "true", "0"):
        own = url.update_query_dict({"autocommit": value}).render_as_string(hide_password=False)
        wechat.set(SYNCJOB_DATABASE_URL=own)
        assert wechat.run("sync") == 2
    assert wechat.simulator.counts == {}
