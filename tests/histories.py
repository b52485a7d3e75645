"""Random histories of an account, played against the real job: real HTTP, a real database.

One clock, moved by hand, drives WeChat, the database and the job. A history is a list of plain
steps, so that hypothesis can shrink one that fails; `tests/truth.py` says what must hold.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from sqlalchemy import delete, insert

from syncjob.database.engine import open_engine
from syncjob.database.store import Store, open_store
from syncjob.database.tables import accounts, followers, metadata
from syncjob.errors import RunInProgress, RunLost, SyncjobError
from syncjob.model import AccessToken, Allowance, FollowerPage
from syncjob.simulator import Account, Simulator
from syncjob.sync.run import ABANDON_AFTER, Plan, run_job
from syncjob.wechat.client import WeChatClient
from syncjob.wechat.tokens import StableToken, Tokens
from syncjob.wechat.transport import Transport
from tests.truth import Lags, Tables, check_run, check_truth, read_tables

START = 1_760_000_000  # in October 2025
DAY = 86_400
MOST_EVER = 60  # people in a history
NEVER = Allowance(1_000_000, 1)


class Crash(BaseException):
    """The process dies here."""


class Ticker:
    """The clock that everything lives by."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        """Return the unix time."""
        return self.now

    def utc(self) -> datetime:
        """Return the time as the database keeps it."""
        return datetime.fromtimestamp(self.now, UTC)


class Database:
    """A database that histories use one after the other, and the figures of all of them."""

    def __init__(self, url: str) -> None:
        self.clock = Ticker()
        self.figures: Counter[str] = Counter()
        self.engine = open_engine(url)
        self.store = open_store(url, clock=self.clock.utc)
        self.another_store = open_store(url, clock=self.clock.utc)

    def empty(self) -> None:
        """Delete all rows, and set the clock back."""
        self.clock.now = float(START)
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))

    def close(self) -> None:
        """Close all connections."""
        self.store.close()
        self.another_store.close()
        self.engine.dispose()


@dataclass(frozen=True)
class Shelf:
    """Where the client finds the account's token."""

    store: Store
    account_id: int

    def get_token(self) -> str | None:
        """Return the stored token."""
        return self.store.get_token(self.account_id)

    def save_token(self, token: AccessToken) -> None:
        """Store the token."""
        self.store.save_token(self.account_id, token)


class Meddled:
    """Passes every call on to the real thing; `moment` is called before and after each."""

    def __init__(self, real: Any, moment: Callable[[str, str], None], heard: Any = None) -> None:
        self._real = real
        self._moment = moment
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        """Return the real attribute, wrapped if it can be called."""
        attribute = getattr(self._real, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **options: Any) -> Any:
            self._moment("before", name)
            result = attribute(*arguments, **options)
            if self._heard is not None:
                self._heard(result)
            self._moment("after", name)
            return result

        return call


class History:
    """One account and its table, from an empty database on."""

    def __init__(
        self,
        database: Database,
        *,
        followers: int,
        account: dict[str, Any],
        switches: dict[str, Any],
        plan: dict[str, Any],
        timeless: int,
    ) -> None:
        self.database = database
        self.clock = database.clock
        self.lags = Lags(defaultdict(list))
        self.sound = True  # False from a failure on
        database.empty()
        self.account = Account(followers, clock=self.clock, **account)
        self.simulator = Simulator(self.account, **switches)
        self._timeless = timeless
        self._plan = Plan(**plan)
        self._dead: set[str] = set()
        self._holder = ""
        self._runs = 0
        self._events: dict[int, list[tuple[str, int]]] = {}
        self._moments = -1
        self._overtaken: Tables | None = None
        self._stack = ExitStack()
        self.url = self._stack.enter_context(self.simulator.serving())
        self._mark_timeless()
        self.row = database.store.save_account(self.simulator.appid)
        self._seat_bystander()
        self._bystander = self._read("bystander")
        database.figures["histories"] += 1

    def close(self) -> None:
        """Stop serving."""
        self._stack.close()

    # --- what people do, and what WeChat does to them; `k` picks one of those who can ----------

    def follow(self, k: int) -> None:
        """Up to three new people follow, anywhere in the list."""
        self.account.follow(min(k % 3 + 1, max(MOST_EVER - self.account.ever, 0)))
        self._mark_timeless()

    def leave(self, k: int) -> None:
        """Someone leaves."""
        self._each(k, True, self.account.unfollow)

    def leave_many(self, k: int) -> None:
        """Every other follower leaves, or every third …"""
        for openid in self._people(True)[:: k % 4 + 1]:
            self.account.unfollow(openid)

    def leave_at_cursor(self, k: int) -> None:
        """The user whose OpenID is the sweep's cursor leaves."""
        sweep = self.database.store.get_open_sweep(self.row.id)
        if sweep is not None and sweep.next_openid:
            self.account.unfollow(sweep.next_openid)

    def come_back(self, k: int) -> None:
        """Someone who left follows again."""
        self._each(k, False, self.account.refollow)

    def rename(self, k: int) -> None:
        """An operator gives someone another remark and another tag."""
        remark, tags = f"客户 {k}" if k % 3 else "", [2, 100 + k][: k % 3]
        self._each(k, True, lambda openid: self.account.override(openid, remark=remark, tagid_list=tags))

    def hide(self, k: int) -> None:
        """The list does not show someone who follows."""
        self._each(k, True, self._lagging(self.account.hide))

    def linger(self, k: int) -> None:
        """The list keeps someone, leaving now or soon or gone already."""
        if k % 2:
            self._each(k, True, self._lagging(self.account.linger), self.account.unfollow)
        else:
            self._each(k, None, self._lagging(self.account.linger))

    def show(self, k: int) -> None:
        """The list is right about someone again."""
        self._each(k, None, self.account.show)

    def poison(self, k: int) -> None:
        """Every answer about someone is 40003."""
        self._each(k, None, self.account.poison)

    def garble(self, k: int) -> None:
        """Every answer about someone is unreadable."""
        self._each(k, None, self.account.garble)

    def blank(self, k: int) -> None:
        """Batches call someone unfollowed."""
        self._each(k, None, self.account.blank)

    def forget(self, k: int) -> None:
        """Batches leave someone out."""
        self._each(k, None, self.account.forget)

    def hide_unionid(self, k: int) -> None:
        """Batches leave someone's unionid out."""
        self._each(k, None, self.account.hide_unionid)

    def cure(self, k: int) -> None:
        """All answers about someone are right again."""
        self._each(k, None, self.account.cure)

    def cut(self, k: int) -> None:
        """The list ends early; every second time its total agrees."""
        self.simulator.switches.list_cut, self.simulator.switches.total_cut = k // 2, bool(k % 2)
        self.lags.short = True

    def circle(self, k: int) -> None:
        """The list does not end."""
        self.simulator.switches.loop = ("restart", "still", "page-one")[k % 3]
        self.lags.short = True

    def mend(self, k: int) -> None:
        """The list is whole again."""
        switches = self.simulator.switches
        switches.list_cut, switches.total_cut, switches.loop = None, False, "never"

    def lose_tokens(self, k: int) -> None:
        """Another program refreshes the token."""
        self.simulator.kill_tokens()

    def wait(self, k: int) -> None:
        """Time passes: from seconds to weeks."""
        self.clock.now += (7, 70, 3_700, 30_000, DAY + 60, 8 * DAY)[k % 6]

    # --- runs ---------------------------------------------------------------------------------

    def trouble(self, endpoint: str, what: str, first: int, calls: int) -> None:
        """Some of the next calls of an endpoint go wrong."""
        first += self.simulator.count(endpoint) + 1
        self.simulator.faults.add(f"{endpoint}={what}@{first}-{first + calls}")

    def run(self, events: list[tuple[int, str, int]] = (), **plan: Any) -> str:
        """Run the job; return how it ended. Check that it has done nothing that it must not.

        Each event is a moment of the run, a method of this class or "crash", "second_run" or
        "overtake", and its `k`. The calls of the client and of the store each have two moments,
        one before and one after.
        """
        self.sound = False
        before = self._read()
        self._events, self._moments, self._overtaken = {}, -1, None
        for moment, name, k in events:
            self._events.setdefault(moment, []).append((name, k))
        outcome = self._run_once(replace(self._plan, **plan), self.database.store, self._moment)
        after = self._read()
        check_run(before, after, self.account, self.lags)
        if outcome != "Crash":
            assert after.runs[-1]["status"] != "running", "a run that ended is still running"
        if self._overtaken is not None:
            assert outcome in ("RunLost", "Crash"), f"overtaken, and yet: {outcome}"
            assert replace(after, at=0) == replace(self._overtaken, at=0), "a lost run wrote"
        assert replace(self._read("bystander"), at=0) == replace(self._bystander, at=0)
        gone = before.subscribed - after.subscribed
        self.database.figures.update(runs=1, unfollows=len(gone))
        self.database.figures[f"ended {outcome}"] += 1
        self.sound = True
        return outcome

    def settle(self, command: str) -> None:
        """Mend everything, let eight days pass, and see two quiet runs reach the truth."""
        self.sound = False
        self.simulator.faults.clear()
        self.simulator.switches.total_off = 0
        self.mend(0)
        for openid in self._people(None):
            self.account.show(openid)
            self.account.cure(openid)
        self.clock.now += 8 * DAY
        refresh = {"command": "backfill"} if command == "backfill" else {"refresh_after": timedelta(1)}
        outcome = self.run(sweep_every=timedelta(0), refresh_limit=None, **refresh)
        if outcome == "UnfollowsParked":
            self.database.store.decide_parked(self.row.id, approve=True)
            outcome = self.run(sweep_every=timedelta(0), refresh_limit=None, **refresh)
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
        transport = Transport(self.url, timeout=20, sleep=lambda seconds: None)
        try:
            source = StableToken(transport, self.simulator.appid, self.simulator.secret)
            client = WeChatClient(transport, Tokens(source, Shelf(store, self.row.id)), lang="zh_CN")
            with self._processes():
                run_job(
                    Meddled(store, moment),  # type: ignore[arg-type]
                    Meddled(client, moment, self._heard),  # type: ignore[arg-type]
                    self.row,
                    plan,
                )
        except Crash:
            self._dead.add(self._holder)
            return "Crash"
        except SyncjobError as error:
            return type(error).__name__
        finally:
            transport.close()
            self._holder = holder
        return "succeeded"

    @contextmanager
    def _processes(self) -> Iterator[None]:
        """Let each run have a process of its own; those that crashed are known to be dead."""
        with (
            patch("syncjob.sync.run.this_process", lambda: self._holder),
            patch("syncjob.sync.run.is_dead", self._dead.__contains__),
        ):
            yield

    def _moment(self, when: str, method: str) -> None:
        """Do what is due before or after a call of the run; from its start to its end."""
        if method.startswith("get_") and method not in CLIENT_CALLS:
            return
        if method in CLIENT_CALLS:
            self.clock.now += 1
        if (when, method) in (("before", "start_run"), ("after", "finish_run")):
            return
        self._moments += 1
        for name, k in self._events.pop(self._moments, ()):
            if name == "crash":
                raise Crash
            getattr(self, name)(k)

    def _heard(self, answer: Any) -> None:
        if isinstance(answer, FollowerPage):
            for openid in answer.openids:
                self.lags.listings[openid].append(self.clock.now)

    def second_run(self, k: int) -> None:
        """Another run starts while one is at work: it must touch nothing."""
        before = self._read()
        if self._overtaken is not None:
            return
        outcome = self._run_once(self._plan, self.database.another_store, lambda *_: None)
        assert outcome == RunInProgress.__name__, f"the second run: {outcome}"
        assert self._read() == before, "a run that may not start wrote"
        self.database.figures["second runs refused"] += 1

    def overtake(self, k: int) -> None:
        """This run's process is suspended for long; another run takes its place and works."""
        if self._overtaken is not None:
            return
        self.clock.now += ABANDON_AFTER.total_seconds() + 60
        before = self._read()
        self._run_once(self._plan, self.database.another_store, self._tick)
        self._overtaken = self._read()
        check_run(before, self._overtaken, self.account, self.lags)
        self.database.figures["runs overtaken"] += 1

    def _tick(self, when: str, method: str) -> None:
        if method in CLIENT_CALLS:
            self.clock.now += 1

    # --- the rest -----------------------------------------------------------------------------

    def _people(self, following: bool | None) -> list[str]:
        everybody = [self.account.openid(index) for index in range(self.account.ever)]
        if following is None:
            return everybody
        return [o for o in everybody if following == self.account.user(o)["subscribe"]]

    def _each(self, k: int, following: bool | None, *actions: Callable[[str], object]) -> None:
        people = self._people(following)
        for action in actions if people else ():
            action(people[k % len(people)])

    def _lagging(self, action: Callable[[str], object]) -> Callable[[str], object]:
        def lag(openid: str) -> None:
            self.lags.people.add(openid)
            action(openid)

        return lag

    def _mark_timeless(self) -> None:
        """WeChat never says since when every n-th person follows."""
        for index in range(self.account.ever) if self._timeless else ():
            if index % self._timeless == 0:
                self.account.omit(self.account.openid(index), "subscribe_time")

    def _seat_bystander(self) -> None:
        """Another account in the same database has the same people, half of them gone."""
        now = self.clock.utc()
        with self.database.engine.begin() as connection:
            other = connection.execute(insert(accounts).values(appid="bystander")).inserted_primary_key
            for n, openid in enumerate(self._people(None)[:6]):
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


CLIENT_CALLS = {"get_followers", "get_user_infos", "get_user_info"}
