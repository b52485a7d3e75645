"""From OpenIDs to stored answers: batches asked about side by side, answers stored in groups.

    put ──> batches ──> threads that ask ──> answers ──> threads that store

There is room for so many batches on that way and no more, so that memory stays flat whatever the
account. What was asked and not stored when a run dies is asked again by the next one.
"""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from syncjob.errors import SyncjobError, WeChatError
from syncjob.model import Answers, UnionidConflict
from syncjob.sync.ask import ask, settle
from syncjob.sync.background import Background
from syncjob.wechat.client import WeChatClient

# Groups of a hundred cost the database twice as much an answer as groups of two thousand.
GROUP = 2_000
GROUP_SECONDS = 0.5
# What may be on its way: OpenIDs that wait to be asked about, and answers that wait to be stored.
QUESTIONS = 10_000
ANSWERS = 2 * GROUP
# How long an end before its time waits for calls that are out, and for the storing of answers.
PATIENCE = 1.0
STORING_PATIENCE = 5.0


class Save(Protocol):
    """Stores answers in one transaction; returns the conflicts, of whom it has stored nothing."""

    def __call__(self, answers: Answers, *, confirmed: bool) -> list[UnionidConflict]:
        """Do so; `confirmed` answers are stored whatever they contradict."""


class Pipeline:
    """Asks about OpenIDs and has `save` store what WeChat says. Use it in a `with`.

    All of it is done by the caller's thread, one call after the other.
    """

    def __init__(self, client: WeChatClient, save: Save, *, batch_size: int) -> None:
        self._client = client
        self._save = save
        self._batch_size = batch_size
        self._group = _Group()

    def put(self, openids: Sequence[str]) -> None:
        """Have these distinct OpenIDs asked about; raise what has failed, if something has.

        Nobody is asked about twice at a time: of two answers, an old one might be stored last.
        """
        for start in range(0, len(openids), self._batch_size):
            self._put_batch(openids[start : start + self._batch_size])

    def flush(self) -> None:
        """Wait until all that was put is stored; raise what has failed, if something has."""
        self._store_own()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Flush; if the block failed, store what was answered and leave what was not."""
        try:
            if exc_type is None:
                self.flush()
        except BaseException as failure:
            self._close(failure)
            raise
        self._close(exc)

    def _put_batch(self, batch: Sequence[str]) -> None:
        self._group.add(ask(self._client, batch))
        if self._group.is_due:
            self._store_own()

    def _store_own(self) -> None:
        answers = self._group.take()
        conflicts = self._save(answers, confirmed=False)
        for question in self._questions(answers, conflicts):
            self._save(question(), confirmed=True)

    def _questions(
        self, answers: Answers, conflicts: Sequence[UnionidConflict]
    ) -> list["partial[Answers]"]:
        """Return what is to be called about those in conflict, in parts."""
        infos = {info.openid: info for info in answers.following} if conflicts else {}
        return [
            partial(settle, self._client, infos, conflicts[start : start + self._batch_size])
            for start in range(0, len(conflicts), self._batch_size)
        ]

    def _close(self, failure: BaseException | None) -> None:
        if isinstance(failure, WeChatError | KeyboardInterrupt) and self._group.batches:
            with suppress(SyncjobError):
                self._save(self._group.take(), confirmed=False)


class ConcurrentPipeline(Pipeline):
    """A pipeline of `concurrency` threads that ask and some that store, beside the caller's."""

    def __init__(
        self,
        client: WeChatClient,
        save: Save,
        *,
        batch_size: int,
        concurrency: int,
        storers: int,
    ) -> None:
        super().__init__(client, save, batch_size=batch_size)
        # Questions are small, and those of a page should find room while the next is stored.
        self._most_pending = QUESTIONS // batch_size + concurrency
        self._most_out = concurrency + ANSWERS // batch_size
        self._pending = 0  # batches that were put and are not stored
        self._out = 0  # those of them that are asked about, or answered
        self._grouped = 0  # those of them that wait in a group
        self._underway: set[str] = set()  # whose OpenIDs these are
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._answered: queue.SimpleQueue[tuple[Future[Answers], bool] | None]
        self._answered = queue.SimpleQueue()
        self._askers = Background(concurrency, name="ask")
        self._storers = [
            threading.Thread(target=self._store, name=f"store-{number}", daemon=True)
            for number in range(storers)
        ]
        for storer in self._storers:
            storer.start()

    def put(self, openids: Sequence[str]) -> None:
        """Have these distinct OpenIDs asked about; raise what has failed, if something has."""
        with self._changed:
            openids = [openid for openid in openids if openid not in self._underway]
            self._underway.update(openids)
        super().put(openids)

    def flush(self) -> None:
        """Wait until all that was put is stored; raise what has failed, if something has."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._pending)
            if self._failure:
                raise self._failure

    def _put_batch(self, batch: Sequence[str]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._pending < self._most_pending)
            if self._failure:
                raise self._failure
            self._pending += 1
        self._submit(partial(self._ask, batch), confirmed=False)

    def _ask(self, batch: Sequence[str]) -> Answers:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._out < self._most_out)
            self._out += 1
        return ask(self._client, batch)

    def _submit(self, question: "partial[Answers]", *, confirmed: bool) -> None:
        future = self._askers.submit(question)
        future.add_done_callback(lambda done: self._answered.put((done, confirmed)))

    def _store(self) -> None:
        group = _Group()
        try:
            while self._take_answer(group):
                pass
            self._store_group(group)
        except BaseException as error:  # noqa: BLE001 - raised by put and flush
            self._fail(error)

    def _take_answer(self, group: "_Group") -> bool:
        # With nobody else out, there is nothing to wait for.
        is_all = 0 < self._grouped == self._pending
        try:
            answered = self._answered.get(timeout=0 if is_all else group.seconds_left)
        except queue.Empty:
            self._store_group(group)
            return True
        if answered is None:
            self._answered.put(None)  # for the next one
            return False
        future, confirmed = answered
        error = future.exception()
        if error is not None:
            self._fail(error)  # and store what the others bring
        elif confirmed:
            self._save(future.result(), confirmed=True)
            self._count(pending=-1, decided=future.result().openids)
        else:
            self._count(grouped=1)
            group.add(future.result())
            if group.is_due:
                self._store_group(group)
        return True

    def _store_group(self, group: "_Group") -> None:
        batches = group.batches
        if not batches:
            return
        answers = group.take()
        conflicts = self._save(answers, confirmed=False)
        questions = self._questions(answers, conflicts)
        self._count(
            pending=len(questions) - batches,
            out=-batches,
            grouped=-batches,
            decided=answers.openids,
            asked_again=[conflict.openid for conflict in conflicts],
        )
        for question in questions:
            self._submit(question, confirmed=True)

    def _count(
        self,
        *,
        pending: int = 0,
        out: int = 0,
        grouped: int = 0,
        decided: Sequence[str] = (),
        asked_again: Sequence[str] = (),
    ) -> None:
        with self._changed:
            self._underway.difference_update(decided)
            self._underway.update(asked_again)
            self._pending += pending
            self._out += out
            self._grouped += grouped
            if pending or out:
                self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _close(self, failure: BaseException | None) -> None:
        self._askers.stop(wait=PATIENCE)
        self._answered.put(None)
        for storer in self._storers:
            storer.join(STORING_PATIENCE)


def open_pipeline(
    client: WeChatClient, save: Save, *, batch_size: int, concurrency: int, storers: int
) -> Pipeline:
    """Return a pipeline with at most `concurrency` calls out at a time, and so many that store."""
    if concurrency == 1:
        return Pipeline(client, save, batch_size=batch_size)
    return ConcurrentPipeline(
        client, save, batch_size=batch_size, concurrency=concurrency, storers=storers
    )


class _Group:
    """Answers that wait to be stored together."""

    def __init__(self) -> None:
        self._answers = Answers()
        self._began = 0.0
        self.batches = 0

    def add(self, answers: Answers) -> None:
        if not self.batches:
            self._began = time.monotonic()
        self.batches += 1
        self._answers.extend(answers)

    @property
    def seconds_left(self) -> float | None:
        """Until they are due; None for no answers."""
        if not self.batches:
            return None
        return max(0.0, self._began + GROUP_SECONDS - time.monotonic())

    @property
    def is_due(self) -> bool:
        return len(self._answers) >= GROUP or self.seconds_left == 0

    def take(self) -> Answers:
        taken, self._answers, self.batches = self._answers, Answers(), 0
        return taken
