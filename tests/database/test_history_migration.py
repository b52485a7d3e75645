"""An older database: its runs are summed up, and followers that are due stay due."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from syncjob.database.engine import open_engine, writing
from syncjob.database.schema import migrations_folder
from tests.cli.test_metrics import read
from tests.conftest import World

Query = Callable[..., list[Any]]


def migrate(url: str, revision: str) -> None:
    """Bring the database to a revision, up or down."""
    engine = open_engine(url, timeouts=False)
    with writing(engine) as connection:
        _migrate(connection, revision)
    engine.dispose()


def _migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    (command.downgrade if revision == "0007" else command.upgrade)(config, revision)


def test_an_older_database_keeps_its_counters_and_due_rows(
    world: Callable[..., World],
    query: Query,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sums of its runs match the counts; a profile that a backfill missed is due."""
    wechat = world(120)
    wechat.set(SYNCJOB_SWEEP_EVERY="7d")
    wechat.simulator.faults.add("user/info/batchget=http-502@1")
    for _ in range(2):
        assert wechat.run("sync") == 0
    assert wechat.run("backfill") == 0
    assert wechat.run("metrics") == 0
    before = read(capsys.readouterr().out)
    migrate(database_url, "0007")
    missed = wechat.account.openid(3)
    query(
        "UPDATE followers SET enriched_at = '2020-01-01 00:00:00' WHERE openid = :openid",
        openid=missed,
    )
    migrate(database_url, "head")
    assert query("SELECT openid FROM followers WHERE enriched_at IS NULL") == [(missed,)]
    assert wechat.run("metrics") == 0
    after = read(capsys.readouterr().out)
    counters = [key for key in before if key[0].endswith("_total")]
    # SQLite rounds both ends of each of the two runs to a millisecond.
    assert {key: after[key] for key in counters} == {
        key: pytest.approx(before[key], abs=timedelta(milliseconds=4).total_seconds())
        for key in counters
    }
    assert after["syncjob_idle_runs_total",] == 1
    assert wechat.run("sync") == 0
    assert query("SELECT openid FROM followers WHERE enriched_at IS NULL") == []
