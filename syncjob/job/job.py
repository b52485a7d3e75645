"""What a run is asked to do, and what its steps share."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ParamSpec, TypeVar

from syncjob.database.store import Store
from syncjob.job.ask import Asker
from syncjob.job.moves import ENOUGH
from syncjob.job.sweep_rules import DEFAULT_RULES, SweepRules
from syncjob.job.workers import Workers
from syncjob.model.accounts import Account
from syncjob.model.runs import Command, Run
from syncjob.wechat.client import WeChatClient

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is asked to do. `sweep_every` None means `auto`, `refresh_after` None never.

    `accept_list` believes a list that shares nobody with the followers.
    `restart` lets a backfill start over although an earlier one has not come to its end. After
    `probe_after` runs in a row that failed for one lasting cause, one call is made first, to see
    whether it lasts; 0: never. `max_pages` of the list and `max_batches` of people end a run before
    it has done all; None: they do not. What is recorded of runs and sweeps longer ago than
    `keep_runs` is deleted; None: all is kept. After `believe_moves_after` changes of unionids that
    user/info confirms, batches are believed about others. `lookup_sample` OpenIDs of a page of an
    account that was empty are looked up, to see whether any of the page is stored already.
    A held page waits `hold_seconds` for the last answers about its people while no other comes: one
    slow call must not hold up the list. `log_every` is how many seconds pass between two lines
    about profiles.
    """

    command: Command = "sync"
    batch_size: int = 100
    concurrency: int = 1
    sweep_every: timedelta | None = None
    rules: SweepRules = DEFAULT_RULES
    refresh_after: timedelta | None = None
    refresh_limit: int = 10_000
    restart: bool = False
    probe_after: int = 0
    max_pages: int | None = None
    max_batches: int | None = None
    accept_list: bool = False
    keep_runs: timedelta | None = None
    believe_moves_after: int = ENOUGH
    lookup_sample: int = 20
    hold_seconds: float = 1.0
    log_every: float = 10.0


class Progress:
    """Shows how far a run is; this one shows nothing. Called by the thread that runs the job."""

    # Whether `expect` is worth a query that counts.
    counts = False

    def listed(self, openids: int, total: int | None) -> None:
        """So many OpenIDs are listed, on pages that are stored or held; WeChat says `total`."""

    def due(self, people: int) -> None:
        """So many more followers will be asked about."""

    def expect(self, people: int) -> None:
        """So many followers are left to be asked about, in all."""

    def stored(self, people: int) -> None:
        """The answers about so many more followers are stored."""


NO_PROGRESS = Progress()


class Bounds:
    """How much of its work a run may do; None: all. `reached`: something was left undone."""

    def __init__(self, plan: Plan) -> None:
        self._pages = plan.max_pages
        self._batches = plan.max_batches
        self._batch_size = plan.batch_size
        self.reached = False

    def take_page(self) -> bool:
        """Take one of the pages; return False if none is left."""
        if self._pages is None:
            return True
        if self._pages <= 0:
            self.reached = True
            return False
        self._pages -= 1
        return True

    def take(self, openids: Sequence[str]) -> Sequence[str]:
        """Return as many of the OpenIDs as may still be asked about."""
        if self._batches is None:
            return openids
        taken = openids[: self._batches * self._batch_size]
        self._batches -= -(-len(taken) // self._batch_size)
        self.reached = self.reached or len(taken) < len(openids)
        return taken


@dataclass(slots=True)
class Tally:
    """What the answers of a run amount to: for log lines, each written once.

    `log_every` is in seconds.
    """

    log_every: float
    logged_at: float = field(default_factory=time.monotonic)
    answered: int = 0
    contested: int = 0
    refused: Counter[int | None] = field(default_factory=Counter)


@dataclass(slots=True)
class Job:
    """What the steps of one run share.

    `account` is read again by the steps that change it. `sweep_fault` says why the list of this run
    cannot be trusted; `all_due_asked`: whoever is due was asked about while the list was read.
    """

    store: Store
    client: WeChatClient
    asker: Asker
    workers: Workers
    run: Run
    account: Account
    plan: Plan
    bounds: Bounds
    tally: Tally
    progress: Progress = NO_PROGRESS
    sweep_fault: str | None = None
    all_due_asked: bool = False
    saw_unionids: bool = False
    # Who got no answer that decides anything: the next run asks again.
    missing: set[str] = field(default_factory=set, repr=False)

    def read_account(self) -> None:
        """Read the account again."""
        self.account = self.store.accounts.save(self.account.appid)

    def in_store(self, transaction: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return the result of a transaction that may take long, keeping the heartbeat."""
        return self.workers.call("store", partial(transaction, *args, **options))
