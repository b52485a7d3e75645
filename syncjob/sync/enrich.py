"""Enrichment: fill the followers' rows with what WeChat says of them, a batch at a time."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

from syncjob.database.store import Store
from syncjob.errors import WeChatError
from syncjob.model import Answers, HeldPages, Run, UnionidConflict
from syncjob.sync.ask import Asker
from syncjob.sync.bounds import Bounds
from syncjob.sync.pipeline import open_pipeline
from syncjob.sync.watch import Watch
from syncjob.wechat.client import USER_GET, USER_INFO_BATCHGET

logger = logging.getLogger(__name__)

# How many OpenIDs are read from the database at once: memory stays flat, whatever the account.
CHUNK = 10_000
TELL_EVERY = 10.0  # seconds
# How long a page waits for the last answers about its people while all others are there: one slow
# call must not hold up the list.
HOLD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HeldPage:
    """Who is on a held page: `new` to the database, and `old`, those among them that are `due`."""

    new: list[str] = field(repr=False)
    old: list[str] = field(repr=False)
    due: list[str] = field(repr=False)

    def turn_out_known(self, openids: Sequence[str]) -> None:
        """Note that these were taken for new; to be asked about again, should the page want it."""
        if openids:
            known = set(openids)
            self.new[:] = [openid for openid in self.new if openid not in known]
            self.old.extend(openids)

    def not_asked(self, openids: Sequence[str]) -> list[str]:
        """Return those of these that were not asked about while the page was held."""
        asked = {*self.new, *self.due} if openids else ()
        return [openid for openid in openids if openid not in asked]


class Enrichment:
    """Asks WeChat about followers and stores what it says of them. Use it in a `with`.

    One that is missing from its answer stays unenriched, to be asked again by the next run; one
    that WeChat refuses is put into quarantine, and the rest of its batch goes through.
    """

    def __init__(
        self,
        store: Store,
        asker: Asker,
        run: Run,
        *,
        batch_size: int,
        concurrency: int,
        bounds: Bounds,
        watch: Watch,
    ) -> None:
        self._store = store
        self._client = asker.client
        self._run = run
        self._bounds = bounds
        self._watch = watch
        self._held = HeldPages()
        self._asked_in_vain: set[str] = set()
        self._count = threading.Lock()
        self._told_at = time.monotonic()
        self._contested = self._answered = 0
        self._refused: Counter[int | None] = Counter()
        self.saw_unionids = False  # whether WeChat has sent a unionid in this run
        self._pipeline = open_pipeline(
            asker,
            self._save,
            batch_size=batch_size,
            concurrency=concurrency,
            storers=store.writers,
        )

    def put_listed(self, openids: Sequence[str]) -> None:
        """Ask about these of a page while the list goes on.

        A failure of WeChat's does not end the list: `flush` will raise it.
        """
        taken = self._bounds.take(openids)
        self._watch.due(len(taken))
        with suppress(WeChatError):
            self._pipeline.put(taken)

    def hold(self, sweep_id: int) -> None:
        """Have answers about people of this sweep's held pages add them."""
        self._held = HeldPages(sweep_id)

    def prepare_list(self) -> None:
        """Have a token, and know the list's quota; raises what the list's first call would."""
        self._client.prepare(USER_GET)

    def prepare_questions(self) -> None:
        """Know the quota of what is asked about people, so that the first of them wait for none."""
        with suppress(WeChatError):  # which the first of them will meet
            self._client.prepare(USER_INFO_BATCHGET)

    def put_held(self, number: int, openids: Sequence[str], known: Mapping[str, bool]) -> HeldPage:
        """Ask about people of a page that is not stored yet; `known` tells who of them is due.

        Others are taken for new, unless a held page before it lists them.
        """
        pages = self._held.pages
        new, old, due = [], [], []
        for openid in openids:
            if openid in known or openid in pages:
                old.append(openid)
                if known.get(openid):
                    due.append(openid)
            else:
                new.append(openid)
                pages[openid] = number
        self.put_listed(new + due)
        return HeldPage(new, old, due)

    def await_held(self, held: HeldPage) -> list[str]:
        """Wait until the answers about a page's people are stored; return whom none has added.

        Not for ever, and for no failure: then these are more.
        """
        self._pipeline.await_stored(held.new, HOLD_SECONDS)
        with self._count:
            held.turn_out_known(self._held.get_known(held.new))
            return held.old + self._held.get_waiting(held.new)

    def release(self, held: HeldPage) -> None:
        """Forget a page that was held, and is stored."""
        with self._count:
            self._held.release(held.new)

    def flush(self) -> None:
        """Wait until all answers are stored; raise what has failed, if something has."""
        self._pipeline.flush()

    def put_unenriched(self) -> None:
        """Ask about every follower who is unenriched, but for whom this run has asked in vain."""
        after = ""
        if len(self._asked_in_vain) > CHUNK:
            logger.info("WeChat leaves out too many; the next run asks again.")
            return
        if self._watch.counts:
            self._watch.expect(self._store.followers.count_unenriched(self._run.account_id))
        while chunk := self._store.followers.get_unenriched(
            self._run.account_id, after=after, limit=CHUNK
        ):
            after = chunk[-1]
            due = [openid for openid in chunk if openid not in self._asked_in_vain]
            self._pipeline.put(self._bounds.take(due))
            if self._bounds.reached:
                return

    def put_stale(self, refresh_after: timedelta, limit: int) -> None:
        """Ask again about up to `limit` whose profile is older than that, the oldest first."""
        last = None
        while limit > 0:
            stale = self._store.followers.get_stale(
                self._run.account_id,
                refresh_after=refresh_after,
                behind=last,
                limit=min(CHUNK, limit),
            )
            if not stale:
                return
            taken = self._bounds.take([openid for openid, _ in stale])
            self._watch.due(len(taken))
            self._pipeline.put(taken)
            if self._bounds.reached:
                return
            last = stale[-1]
            limit -= len(stale)
            logger.info("Refreshing profiles. openids=%d", len(stale))

    def _save(self, answers: Answers, *, confirmed: bool) -> list[UnionidConflict]:
        run = self._run
        saved = self._store.followers.save_answers(
            run.id,
            run.account_id,
            answers,
            self._client.traffic,
            held=self._held,
            confirmed=confirmed,
        )
        conflicts = saved.conflicts
        self._watch.stored(len(answers) - len(conflicts))
        with self._count:  # several threads store
            if self._held.pages:
                self._held.note_known(saved.known)
                left_out = {*answers.missing, *(conflict.openid for conflict in conflicts)}
                self._held.note_added(o for o in answers.openids if o not in left_out)
            if len(self._asked_in_vain) <= CHUNK:
                self._asked_in_vain.update(answers.missing)
            self._contested += len(conflicts)
            self._refused.update(refusal.errcode for refusal in answers.refused)
            self.saw_unionids = self.saw_unionids or any(i.unionid for i in answers.following)
            self._answered += len(answers)
            now = time.monotonic()
            is_time = now - self._told_at >= TELL_EVERY
            if is_time:
                self._told_at = now
        if is_time:
            logger.info(
                "Enriched followers. openids=%d calls=%d",
                self._answered,
                self._client.traffic.calls,
            )
        return conflicts

    def __enter__(self) -> Self:
        self._pipeline.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._pipeline.__exit__(exc_type, exc, traceback)
        finally:
            # Once for all, since cron mails each line.
            if self._contested:
                logger.warning(
                    "Unionids were not what they had been, or not alone. openids=%d",
                    self._contested,
                )
            if self._refused:
                logger.warning(
                    "Put OpenIDs into quarantine. openids=%d errcodes=%s",
                    self._refused.total(),
                    ",".join(sorted(str(errcode or "none") for errcode in self._refused)),
                )
