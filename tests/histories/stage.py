"""The stage of a history: one clock, one database, one made-up WeChat, and runs of the real job.

The HTTP is real, the database is real. The job is interrupted, overtaken and killed at any moment
between two calls; `tests/histories/truth.py` says what must hold whatever happens.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import insert

from syncjob.database.store import Store
from syncjob.database.tables import accounts, followers
from syncjob.errors import RunInProgress, SyncjobError
from syncjob.job.job import Plan
from syncjob.job.run import ABANDON_AFTER, run_job
from syncjob.model.replies import FollowerPage
from syncjob.simulator import Account, Simulator
from syncjob.wechat.client import WeChatClient
from syncjob.wechat.token_sources import StableToken
from syncjob.wechat.tokens import Tokens
from syncjob.wechat.transport import Transport
from tests.histories.deeds import DAY, DEEDS, WAITS, Deeds
from tests.histories.props import Database, Meddled, Shelf
from tests.histories.truth import (
    Tables,
    check_parked,
    check_run,
    check_sealed,
    check_truth,
    read_tables,
)

CLIENT_CALLS = ("get_followers", "get_user_infos", "get_user_info")
# What a run may meet at any moment, beside deeds.
INTERRUPTIONS = ("crash", "second_run", "overtake", "leave_at_cursor")

Event = tuple[int, str, int]  # the moment of the run, the deed or interruption, its k


class Crash(BaseException):
    """The process dies here."""


class History:
    """One account and its table, from an empty database on.

    `account`, `switches` and `plan` are the options of what they are named after; `quiet` is how
    the quiet runs at the end see everybody's profile again, by "backfill" or "refresh".
    """

    def __init__(
        self,
        database: Database,
        *,
        followers: int,
        account: dict[str, Any],
        switches: dict[str, Any],
        plan: dict[str, Any],
        timeless: int,
        quiet: str,
    ) -> None:
        database.empty()
        self.database = database
        self.clock = database.clock
        self.account = Account(followers, clock=self.clock, **account)
        self.simulator = Simulator(self.account, **switches)
        self.deeds = Deeds(self.simulator, timeless)
        self.simulator.on_request = self._asked
        self.sound = True  # False from a failure on
        # Pages are so small here that by default all of their people would be looked up.
        self._plan = Plan(lookup_sample=1, **plan)
        self._quiet = quiet
        self._dead: set[str] = set()
        self._holder = ""
        self._runs = 0
        self._events: dict[int, list[tuple[str, int]]] = {}
        self._moments = 0
        self._pages: list[tuple[FollowerPage, float]] = []  # that were answered, and when
        self._overtaken: Tables | None = None
        self._stack = ExitStack()
        self._asked = self.simulator  # whose account the next run's calls are answered for
        self._urls = {self.simulator: self._stack.enter_context(self.simulator.serving())}
        self.row = database.store.accounts.save(self.simulator.appid)
        self._seat_bystander()
        self._bystander = self._read("bystander")
        database.figures["histories"] += 1

    def close(self) -> None:
        """Stop serving."""
        self._stack.close()

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the followers of the table, by OpenID."""
        return self._read().followers

    def do(self, name: str, k: int) -> None:
        """Do a deed, or what the methods of this class are named after."""
        getattr(self.deeds if name in DEEDS else self, name)(k)

    def wait(self, k: int) -> None:
        """Time passes: from seconds to days."""
        self.clock.now += WAITS[k % len(WAITS)]

    def trouble(self, endpoint: str, what: str, first: int, calls: int) -> None:
        """Some of the next calls of an endpoint go wrong."""
        first += self.simulator.count(endpoint) + 1
        self.simulator.faults.add(f"{endpoint}={what}@{first}-{first + calls}")

    def run(self, events: Iterable[Event] = (), **plan: Any) -> str:
        """Run the job; return how it ended. Check that it has done nothing that it must not.

        Each call of the client, and each of the store that writes, is two moments: one before it
        and one after.
        """
        self.sound = False
        before = self._read()
        self._events, self._moments, self._overtaken = {}, -1, None
        for moment, name, k in events:
            self._events.setdefault(moment, []).append((name, k))
        outcome = self._run_once(replace(self._plan, **plan), self.database.store, self._moment)
        after = self._read()
        check_run(before, after, self.account, self.deeds.lags)
        drift = self._plan.rules.max_drift
        check_sealed(after, drift.count, drift.share)
        if outcome == "UnfollowsParked":
            check_parked(before, after, self.deeds.lags)
        if outcome != "Crash":
            assert after.runs[-1]["status"] != "running", "a run that ended is still running"
        if self._overtaken is not None:
            assert outcome != "succeeded", "a run that was overtaken succeeded"
            assert replace(after, at=0) == replace(self._overtaken, at=0), "a lost run wrote"
        assert replace(self._read("bystander"), at=0) == replace(self._bystander, at=0)
        gone = before.subscribed - after.subscribed
        refused = [o for o in gone if after.followers[o]["unsubscribe_reason"] == "refused"]
        self.database.figures.update(runs=1, unfollows=len(gone), refused=len(refused))
        self.database.figures[f"ended {outcome}"] += 1
        self.sound = True
        return outcome

    def run_with_foreign_token(self, events: Iterable[Event] = (), **plan: Any) -> str:
        """Run the job with the token of another account: none of its people may be stored.

        An account without followers has nothing to compare with, and is left alone.
        """
        before = self._read()
        if not before.subscribed:
            return "not run"
        self._asked = Simulator(Account(30, seed=99, clock=self.clock), page_size=7)
        self._urls[self._asked] = self._stack.enter_context(self._asked.serving())
        try:
            outcome = self.run(events, **plan)
        finally:
            self._asked = self.simulator
        self.sound = False
        after = self._read()
        assert after.followers.keys() == before.followers.keys(), "another account's people"
        assert outcome != "succeeded" or not after.runs[-1]["pages"], "a foreign list was believed"
        self.database.figures["runs with another account's token"] += 1
        self.sound = True
        return outcome

    def settle(self) -> None:
        """Mend everything, let eight days pass, and see two quiet runs reach the truth."""
        self.sound = False
        self.deeds.settle()
        self.clock.now += 8 * DAY
        again: dict[str, dict[str, Any]] = {
            "backfill": {"command": "backfill", "restart": True},
            "refresh": {"refresh_after": timedelta(1)},
        }
        plan = {"refresh_after": None, "refresh_limit": 10_000, **again[self._quiet]}
        plan["sweep_every"] = timedelta(0)
        outcome = self.run(**plan)
        if outcome == "UnfollowsParked":
            self.approve()
            outcome = self.run(**plan)
        self.sound = False
        assert outcome == "succeeded", f"a quiet run ended with {outcome}"
        settled = self._read()
        check_truth(settled, self.account)
        self.clock.now += 60
        assert self.run(sweep_every=timedelta(0), refresh_after=None) == "succeeded"
        self.sound = False
        assert self._read().followers == settled.followers, "an idle run rewrote followers"
        self.sound = True

    def _run_once(self, plan: Plan, store: Store, moment: Callable[[str, str], None]) -> str:
        self._runs += 1
        holder, self._holder = self._holder, f"run {self._runs}"
        others = set(threading.enumerate())
        this_run, one_at_a_time, over = self._holder, threading.RLock(), threading.Event()

        def alive(when: str, method: str) -> None:
            with one_at_a_time:
                if over.is_set():
                    return  # a call that nobody waits for any more
                if method == "runs.finish":
                    over.set()
                if this_run in self._dead:
                    raise Crash  # another thread's moment was the process's last
                try:
                    moment(when, method)
                except Crash:
                    self._dead.add(this_run)
                    raise

        threads = plan.concurrency + 1
        asked, url = self._asked, self._urls[self._asked]
        transport = Transport(url, timeout=20, threads=threads, sleep=lambda seconds: None)
        try:
            source = StableToken(transport, asked.appid, asked.secret)
            shelf = Shelf(store, self.row.id, this_run, self._dead.__contains__)
            tokens = Tokens(source, shelf, sleep=lambda seconds: None)
            client = WeChatClient(transport, tokens, lang="zh_CN")
            run_job(
                Meddled(store, alive, self._stored),  # type: ignore[arg-type]
                Meddled(client, alive, self._heard),  # type: ignore[arg-type]
                self.row,
                plan,
                # Each run has a process of its own; those that crashed are known to be dead.
                holder=this_run,
                is_dead=self._dead.__contains__,
            )
        except Crash:
            return "Crash"
        except SyncjobError as error:
            return type(error).__name__
        finally:
            with one_at_a_time:  # what happens in a thread's moment comes to its end first
                over.set()
            # A process that died has no threads; these must not meet the next run's clock.
            for thread in set(threading.enumerate()) - others:
                is_ours = thread.name.startswith(("ask-", "store-", "list-", "call-", "beat-"))
                # One that another run is about to start is listed, and cannot be joined yet.
                if is_ours and thread.is_alive():
                    thread.join(5)
            transport.close()
            self._holder = holder
        return "succeeded"

    def _moment(self, when: str, method: str) -> None:
        """Do what is due before or after a call of the run; from its start to its end."""
        if method in CLIENT_CALLS:
            self.clock.now += 1
        elif method.rpartition(".")[2].startswith(("get", "count_")):
            return
        if (when, method) in (("before", "runs.start"), ("after", "runs.finish")):
            return
        due = self._events.pop(self._moments, ())
        self._moments += 1
        for name, k in due:
            self.do(name, k)

    def _asked(self, request: Any) -> None:
        """What WeChat says of somebody alone, the request tells once it is answered."""
        alone = request.openids if len(request.openids) == 1 else ()
        if request.endpoint == "user/info":
            alone = (request.params.get("openid", ""),)
        for openid in alone:
            self.deeds.lags.asked[openid].append((self.clock.now, request))

    def _heard(self, method: str, arguments: Any, answer: Any) -> None:
        if isinstance(answer, FollowerPage):
            self._pages.append((answer, self.clock.now))

    def _stored(self, method: str, arguments: Any, answer: Any) -> None:
        """A listing counts once it is stored: a page that died with its process says nothing."""
        for page, heard in self._pages if method == "sweeps.save_page" else ():
            if any(page is argument for argument in arguments):
                for openid in page.openids:
                    self.deeds.lags.listings[openid].append(heard)

    def crash(self, k: int) -> None:
        """The process dies."""
        raise Crash

    def leave_at_cursor(self, k: int) -> None:
        """The user whose OpenID is the open sweep's cursor leaves."""
        sweep = self.database.store.sweeps.get_open(self.row.id)
        if sweep is not None and sweep.next_openid:
            self.account.unfollow(sweep.next_openid)

    def approve(self) -> None:
        """The operator lets the parked be asked about."""
        self.database.store.unfollows.decide_parked(self.row.id, approve=True)

    def reject(self) -> None:
        """The operator leaves the parked alone."""
        self.database.store.unfollows.decide_parked(self.row.id, approve=False)

    def second_run(self, k: int) -> None:
        """Another run starts while one is running: it must touch nothing."""
        before = self._read()
        if self._overtaken is not None:
            return
        outcome = self._run_once(self._plan, self.database.another_store, lambda *_: None)
        assert outcome == RunInProgress.__name__, f"the second run: {outcome}"
        if self._plan.concurrency == 1:  # else the first one goes on meanwhile
            assert self._read() == before, "a run that may not start wrote"
        self.database.figures["second runs refused"] += 1

    def overtake(self, k: int) -> None:
        """This run's process is suspended for long; another run takes its place and works."""
        if self._overtaken is not None:
            return
        self.clock.now += ABANDON_AFTER.total_seconds() + 60
        before = self._read()
        outcome = self._run_once(self._plan, self.database.another_store, self._tick)
        if outcome == RunInProgress.__name__:
            assert self._plan.concurrency > 1, "a run gave no heartbeat, and was not overtaken"
            return  # another of its threads gave a sign of life
        self._overtaken = self._read()
        check_run(before, self._overtaken, self.account, self.deeds.lags)
        self.database.figures["runs overtaken"] += 1

    def _tick(self, when: str, method: str) -> None:
        if method in CLIENT_CALLS:
            self.clock.now += 1

    def _seat_bystander(self) -> None:
        """Another account in the same database has the same people, half of them gone."""
        now = self.clock.utc()
        with self.database.engine.begin() as connection:
            other = connection.execute(
                insert(accounts).values(appid="bystander")
            ).inserted_primary_key
            for n, openid in enumerate(self.deeds.people()[:6]):
                connection.execute(
                    insert(followers).values(
                        account_id=other[0],
                        openid=openid,
                        subscribe=n % 2 == 0,
                        unionid=self.account.unionid(n + 1),
                        first_seen_at=now,
                        followed_before=now,
                        unsubscribed_at=now if n % 2 else None,
                        unfollowed_before=now if n % 2 else None,
                    )
                )

    def _read(self, appid: str | None = None) -> Tables:
        return read_tables(self.database.engine, appid or self.simulator.appid, self.clock.now)
