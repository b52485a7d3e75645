"""The roads that a run can take: each brings a database to where the run begins that is killed."""

import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import select, text, update

from syncjob.database.engine import open_engine, writing
from syncjob.database.schema import migrations_folder
from syncjob.database.tables import followers, sweeps
from syncjob.simulator import Request
from tests.kills.stage import TIMEOUT, Stage, changing, wait_until


def stay_empty(stage: Stage, url: str) -> None:
    """Begin with nothing."""


def stop_in_the_middle(stage: Stage, url: str) -> None:
    """Begin where a run was killed in its third page."""
    started: list[subprocess.Popen[str]] = []

    def kill(request: Request) -> None:
        if request.endpoint == "user/get" and stage.simulator.count("user/get") == 3:
            wait_until(lambda: bool(started))
            started[0].kill()

    stage.simulator.on_request = kill
    started.append(stage.start(url, "sync"))
    started[0].communicate(timeout=TIMEOUT)
    stage.simulator.on_request = None
    assert started[0].returncode == -signal.SIGKILL, "it was not killed in the third page"


def poison(stage: Stage, url: str) -> None:
    """Begin with somebody in the list who has every batch refused."""
    stage.account.poison(stage.account.openid(17))


def leave_and_return(stage: Stage, url: str) -> None:
    """Begin when six have left, one who was known to have left is back, and two are new."""
    back, *leaving = list(stage.account.openids())[10:17]
    stage.must(url, "sync")
    stage.account.unfollow(back)
    grow_old(url)
    stage.must(url, "sync")
    stage.account.refollow(back)
    for openid in leaving:
        stage.account.unfollow(openid)
    stage.account.follow(2)
    grow_old(url)


def grow_old(url: str) -> None:
    """Let it be time for a new sweep."""
    with changing(url) as connection:
        for row in connection.execute(select(sweeps)).all():
            earlier = {
                "started_at": row.started_at - timedelta(days=2),
                "finished_at": row.finished_at - timedelta(days=2),
            }
            connection.execute(update(sweeps).where(sweeps.c.id == row.id).values(earlier))


def change_everybody(stage: Stage, url: str) -> None:
    """Begin when everybody's profile has changed since it was fetched, two months ago."""
    stage.must(url, "sync")
    long_ago = datetime.now(UTC) - timedelta(days=60)
    with changing(url) as connection:
        connection.execute(update(followers).values(enriched_at=long_ago))
    for openid in stage.account.openids():
        stage.account.override(openid, remark="changed")


def fill_the_first_schema(stage: Stage, url: str) -> None:
    """Begin with the tables of the first revision, and followers in them, one of them gone."""
    engine = open_engine(url, create=True)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    left = stage.account.openid(0)
    stage.account.unfollow(left)
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")
        appid = {"appid": stage.simulator.appid}
        connection.execute(text("INSERT INTO accounts (appid) VALUES (:appid)"), appid)
        for number in range(12):
            connection.execute(
                text("INSERT INTO followers (account_id, openid) SELECT id, :o FROM accounts"),
                {"o": stage.account.openid(number)},
            )
        connection.execute(
            text("UPDATE followers SET subscribe = false, unsubscribed_at = :at WHERE openid = :o"),
            {"at": "2025-01-02 03:04:05", "o": left},
        )
    engine.dispose()


@dataclass(frozen=True)
class Road:
    """A command, where it begins, and the settings that lead it along."""

    command: str
    prepare: Callable[[Stage, str], None]
    settings: Mapping[str, str] = field(default_factory=dict)


ROADS = {
    "first": Road("sync", stay_empty),
    "resumed": Road("sync", stop_in_the_middle),
    "poison": Road("sync", poison),
    "unfollows": Road("sync", leave_and_return),
    "refresh": Road("sync", change_everybody, {"SYNCJOB_REFRESH_AFTER": "30d"}),
    "backfill": Road("backfill", change_everybody),
    "migrate": Road("migrate", stay_empty),
    "upgrade": Road("migrate", fill_the_first_schema),
}
