"""Estimates calls, time, days and disk space of a run, from a few calls that change nothing."""

import time
from dataclasses import dataclass
from datetime import timedelta

from syncjob.database.store import Store
from syncjob.job.identity import OwnList
from syncjob.job.intentions import Intentions, intend
from syncjob.job.moves import ENOUGH
from syncjob.model.accounts import Account
from syncjob.wechat.client import USER_GET, USER_INFO, USER_INFO_BATCHGET, WeChatClient
from syncjob.wechat.quotas import Quotas

PAGE = 10_000  # OpenIDs, as documented
# What a new follower costs client and database together, measured on two cores
# (benchmarks/README.md), and what its row and indexes take.
SECONDS_A_FOLLOWER = 25e-6
BYTES_A_FOLLOWER = {"postgresql": 400, "sqlite": 480}


@dataclass(frozen=True, slots=True)
class CallsNeeded:
    """How many calls of an endpoint are needed, and how many may be sent.

    `left` today and `daily` on other days, less the reserve; None where no limit is known.
    """

    cgi_path: str
    calls: int
    seconds_a_call: float
    left: int | None
    daily: int | None

    @property
    def days(self) -> int | None:
        """On how many quota days they are sent, today included; None if never."""
        if self.left is None or self.calls <= self.left:
            return 1
        if not self.daily:
            return None
        return 1 + -(-(self.calls - max(0, self.left)) // self.daily)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run that began now would take.

    `total` is WeChat's count of followers, `known` how many are subscribed here; `new` and
    `profiles` are followers to be added, and to be asked about. `singles` are the questions about
    one person each that can be foreseen: of unfollow candidates, and of unionids that have moved.
    `took` is how long it would work.
    """

    intended: Intentions
    total: int | None
    known: int
    new: int
    profiles: int
    lists: CallsNeeded
    batches: CallsNeeded
    singles: CallsNeeded
    took: timedelta
    megabytes: float
    database: str

    @property
    def days(self) -> int | None:
        """On how many quota days the run, and those that go on with it, work; None if never."""
        days = [needed.days for needed in (self.lists, self.batches, self.singles)]
        return None if None in days else max(day or 0 for day in days)


def forecast(
    store: Store,
    client: WeChatClient,
    quotas: Quotas,
    account: Account,
    *,
    batch_size: int,
    concurrency: int,
    backfill: bool,
    sweep_every: timedelta | None,
    sweep_max_age: timedelta,
    refresh_after: timedelta | None,
    refresh_limit: int,
) -> Forecast:
    """Ask for one page and one batch, and tell from these what a run would take.

    Raises what the job would raise where WeChat refuses.
    """
    intended = intend(
        store,
        account.appid,
        sweep_every=timedelta(0) if backfill else sweep_every,
        sweep_max_age=timedelta(0) if backfill else sweep_max_age,
        refresh_after=None if backfill else refresh_after,
        refresh_limit=refresh_limit,
    )
    client.prepare(USER_GET)
    client.prepare(USER_INFO_BATCHGET)
    began = time.perf_counter()
    page = client.get_followers("")
    list_seconds = time.perf_counter() - began
    own = OwnList(store, account, get_token_source=lambda: client.token_source)
    own.require_own("", page)
    batch_seconds = list_seconds
    moved = 0.0
    if page.openids:
        began = time.perf_counter()
        infos = client.get_user_infos(page.openids[:batch_size])
        batch_seconds = time.perf_counter() - began
        moved = store.unionids.get_moved_share(
            account.id, {info.openid: info.unionid for info in infos if info.unionid}
        )

    known = intended.subscribed
    total = page.total if page.total is not None else max(known, len(page.openids))
    listed = (
        intended.open_sweep.openids if intended.sweep == "resume" and intended.open_sweep else 0
    )
    new = 0 if intended.sweep == "not yet" else max(0, total - known)
    profiles = total if backfill else intended.unenriched + intended.stale + new
    # A page that is not the last one shows how many they hold.
    full = len(page.openids) if 0 < len(page.openids) < total else PAGE
    lists = 0 if intended.sweep == "not yet" else -(-max(0, total - listed) // full) + 1
    batches = -(-profiles // batch_size)
    # What changes is confirmed one by one, until it is enough; then one of each batch.
    changed = round(profiles * moved)
    singles = min(changed, ENOUGH + -(-changed // batch_size))
    singles += 0 if intended.parked else intended.candidates
    list_time = lists * list_seconds
    batch_time = (batches + singles) * batch_seconds / concurrency
    network = list_time + batch_time if concurrency == 1 else max(list_time, batch_time)
    work = max(new, profiles) * SECONDS_A_FOLLOWER
    took = network + work if concurrency == 1 else max(network, work)
    return Forecast(
        intended,
        page.total,
        known,
        new,
        profiles,
        _needed(quotas, USER_GET.path, lists, list_seconds),
        _needed(quotas, USER_INFO_BATCHGET.path, batches, batch_seconds),
        _needed(quotas, USER_INFO.path, singles, batch_seconds),
        timedelta(seconds=took),
        new * BYTES_A_FOLLOWER[store.kind] / 1e6,
        store.kind,
    )


def _needed(quotas: Quotas, cgi_path: str, calls: int, seconds: float) -> CallsNeeded:
    return CallsNeeded(cgi_path, calls, seconds, *quotas.get_left(cgi_path))
