"""Kills runs, one moment after the other; checks what is left and what the next makes of it."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text, update

from syncjob.database.engine import open_engine
from syncjob.database.tables import quarantine
from syncjob.simulator import Request
from tests.conftest import Databases
from tests.histories.truth import Lags, Tables, check_followers, check_states, check_truth
from tests.kills.roads import ROADS, poison, stay_empty
from tests.kills.stage import TIMEOUT, Stage, changing

# Longer than answers wait for each other in a group: what came before is committed by itself.
SLOW = "user/info/batchget=slow-600@{}"
COUNTED = ("new", "returned", "enriched", "unfollowed")
NO_TABLES = 4  # what `status` exits with before `migrate` is done


@dataclass(frozen=True)
class Cell:
    """One road on one kind of database."""

    road: str
    kind: str
    concurrency: int


@dataclass
class Figures:
    """What came of the kills of a cell; lists and profiles are the most that one kill repeated."""

    kills: int = 0
    hits: int = 0
    reruns: int = 0
    lists: int = 0
    profiles: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        """Add those of another cell."""
        self.kills += other.kills
        self.hits += other.hits
        self.reruns += other.reruns
        self.lists = max(self.lists, other.lists)
        self.profiles = max(self.profiles, other.profiles)
        self.differences += other.differences


class Killer:
    """Kills the runs of one cell, each on a copy of the same database."""

    def __init__(self, cell: Cell, stage: Stage, folder: Path) -> None:
        self.figures = Figures()
        self._cell = cell
        self._stage = stage
        self._road = ROADS[cell.road]
        self._migrates = self._road.command == "migrate"
        self._file = folder / uuid4().hex
        self._start = ""
        self._before: Tables | None = None
        self._whole: dict[str, int] = {}  # what the runs count in all, if nobody is killed

    def kill_all(self, every: int, first: int = 1) -> None:
        """Kill at every `every`-th moment from the `first` on."""
        stage, databases = self._stage, self._stage.databases
        with stage.serving(**self._road.settings):
            self._start = databases.make_empty() if self._migrates else databases.make()
            self._road.prepare(stage, self._start)
            if not self._migrates and self._road.prepare not in (stay_empty, poison):
                self._before = stage.read(self._start)
            moments = self._count_moments()
            for number in range(first, len(moments) + 1, every):
                self._kill(number)
            stage.drop(self._start)

    def _count_moments(self) -> list[str]:
        url = self._stage.copy(self._start)
        mark = len(self._stage.simulator.requests)
        code, printed, moments = self._run_until(url, 0)
        assert code == 0, f"undisturbed, it ended with {code}: {printed}"
        calls = len(self._stage.simulator.requests) - mark
        for when in ("before call", "after call"):
            assert moments.count(when) == calls, f"{moments.count(when)} {when}, {calls} calls"
        assert moments.count("after commit") > 0
        if not self._migrates:
            self._whole = self._counted(self._stage.read(url))
        self._check_end(url)
        self._stage.drop(url)
        return moments

    def _run_until(self, url: str, number: int) -> tuple[int, str, list[str]]:
        """Run the command until its moment of that number; return how it ended, and the moments."""
        simulator = self._stage.simulator
        self._file.unlink(missing_ok=True)
        simulator.faults.add(SLOW.format(simulator.count("user/info/batchget") + 3))
        process = self._stage.start(
            url,
            self._road.command,
            MOMENTS_FILE=str(self._file),
            MOMENTS_KILL_AT=str(number),
            MOMENTS_DRIVER=self._cell.kind,
        )
        try:
            printed, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
            process.wait()
            simulator.faults.clear()
        time.sleep(0.02)  # what was sent comes in
        moments = self._file.read_text().splitlines() if self._file.exists() else []
        return process.returncode, printed, moments

    def _kill(self, number: int) -> None:
        url = self._stage.copy(self._start)
        self.figures.kills += 1
        what = ""
        try:
            mark = len(self._stage.simulator.requests)
            code, printed, moments = self._run_until(url, number)
            what = moments[-1] if moments else "no moment"
            self.figures.hits += code == -signal.SIGKILL
            assert code in (0, -signal.SIGKILL), f"it ended with {code}: {printed.strip()}"
            self._look(url)
            self._run_again(url, self._stage.simulator.requests[mark:])
            self._check_end(url)
        except AssertionError as difference:
            self.figures.differences.append(f"{self._cell}, moment {number} ({what}): {difference}")
        self._stage.drop(url)

    def _look(self, url: str) -> None:
        code, printed = self._stage.run(url, "status")
        for word in ("Traceback", "internal error"):
            assert word not in printed, f"status: {printed.strip()}"
        if not (self._migrates and code == NO_TABLES and "(run: syncjob migrate)" in printed):
            assert code in (0, 1), f"status ended with {code}: {printed.strip()}"

    def _run_again(self, url: str, asked: Sequence[Request]) -> None:
        simulator, mark = self._stage.simulator, len(self._stage.simulator.requests)
        left = None if self._migrates else self._read_left(url)
        self.figures.reruns += 1
        self._stage.must(url, self._road.command)
        if self._migrates:
            return
        ended = left is not None and self._has_ended_backfill(left)
        if not ended:  # else the same command is asked to do all of it anew
            self._check_calls(left, asked, simulator.requests[mark:])
        after = self._stage.read(url)
        check_states(after)
        if self._before is not None:
            check_followers(self._before, after, self._stage.account, Lags())
        assert after.runs[-1]["status"] == "succeeded"
        counted = self._counted(after)
        assert ended or counted == self._whole, f"the runs counted {counted}, not {self._whole}"

    def _read_left(self, url: str) -> Tables | None:
        """Read what the killed run has left; nothing if it died before it knew its account."""
        engine = open_engine(url)
        with engine.connect() as connection:
            is_known = connection.scalar(text("SELECT count(*) FROM accounts"))
        engine.dispose()
        return self._stage.read(url) if is_known else None

    def _has_ended_backfill(self, left: Tables) -> bool:
        return self._road.command == "backfill" and left.account["backfill_finished_at"] is not None

    def _counted(self, after: Tables) -> dict[str, int]:
        mine = after.runs[len(self._before.runs) if self._before else 0 :]
        return {name: sum(row[name] for row in mine) for name in COUNTED}

    def _check_calls(
        self, left: Tables | None, first: Sequence[Request], again: Sequence[Request]
    ) -> None:
        """Check that nothing is asked for again that was stored when the first run was killed.

        So only batches in flight, or answered and not committed, are repeated, however many.
        """
        cursors = {cursor_of(request) for request in first if request.endpoint == "user/get"}
        pages = [cursor_of(request) for request in again if request.endpoint == "user/get"]
        lists = sum(cursor in cursors for cursor in pages)
        # The page that was being stored, and with several calls at a time the one behind it and
        # the one that was being fetched.
        most = min(self._cell.concurrency, 2)
        assert lists <= most, f"{lists} pages were asked for again"
        tokens = sum(request.endpoint == "stable_token" for request in again)
        assert tokens <= (0 if self._before else 1), f"{tokens} tokens were fetched again"
        people = set().union(*map(people_of, first))
        profiles = sum(not people.isdisjoint(people_of(request)) for request in again)
        self.figures.lists = max(self.figures.lists, lists)
        self.figures.profiles = max(self.figures.profiles, profiles)
        if left is None:
            return
        asked = set().union(*map(people_of, again))
        settled = settled_between(self._before, left) & asked
        assert not settled, f"{len(settled)} were asked about again whose answers were stored"
        newest = left.sweeps[-1] if left.sweeps else None
        if newest is not None and newest["status"] == "open":
            cursor = newest["next_openid"] or ""
            assert pages[:1] == [cursor], "the open sweep did not go on from its cursor"
        known = self._before.sweeps if self._before else []
        sealed = {sweep["id"] for sweep in known if sweep["status"] == "sealed"}
        if newest is not None and newest["status"] == "sealed" and newest["id"] not in sealed:
            assert not pages, "a sealed sweep was done again"

    def _check_end(self, url: str) -> None:
        """Check that the tables say what WeChat says."""
        stage = self._stage
        if self._migrates:
            kept = people_in(self._start) if self._road.prepare is not stay_empty else []
            found = dict.fromkeys(people_in(url))
            assert all(person in found for person in kept), "rows were lost or changed"
            stage.must(url, "sync")
        tables = stage.read(url)
        if self._road.prepare is poison:
            # Whom WeChat refuses is asked again after an hour: it takes one more run to the truth.
            culprit = stage.account.openid(17)
            assert set(tables.quarantine) == {culprit}, "not the culprit is in quarantine"
            with changing(url) as connection:
                connection.execute(
                    update(quarantine).values(next_try_at=datetime(2025, 1, 1, tzinfo=UTC))
                )
            stage.account.cure(culprit)
            self.figures.reruns += 1
            stage.must(url, "sync")
            stage.account.poison(culprit)
            tables = stage.read(url)
        check_states(tables)
        check_truth(replace(tables, at=time.time()), stage.account)


def cursor_of(request: Request) -> str:
    """Return the cursor of a list call."""
    return request.params.get("next_openid", "")


def people_of(request: Request) -> set[str]:
    """Return the OpenIDs that a call asks about."""
    alone = request.params.get("openid")
    return {*request.openids, *([alone] if alone else [])}


def people_in(url: str) -> list[tuple[Any, ...]]:
    """Return what is known of people in any revision of the tables."""
    engine = open_engine(url)
    words = "SELECT openid, subscribe, first_seen_at, unsubscribed_at FROM followers"
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(words))]
    engine.dispose()
    return found


def settled_between(before: Tables | None, after: Tables) -> set[str]:
    """Return whose answers were stored meanwhile: a profile, an unfollow, a refusal."""
    settled = set(after.quarantine)
    for openid, row in after.followers.items():
        old = before.followers.get(openid) if before else None
        # One who is back, and not yet asked about, has none.
        if row["enriched_at"] not in (None, old and old["enriched_at"]):
            settled.add(openid)
        if old and old["subscribe"] and not row["subscribe"]:
            settled.add(openid)
    return settled


def kill_in(
    cell: Cell,
    databases: Databases,
    server: str | None,
    folder: Path,
    *,
    every: int = 1,
    first: int = 1,
) -> Figures:
    """Kill the runs of a cell."""
    killer = Killer(cell, Stage(databases, server, cell.concurrency), folder)
    killer.kill_all(every, first)
    return killer.figures
