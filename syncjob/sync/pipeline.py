"""From OpenIDs to stored answers: batches asked about side by side, answers stored in groups.

    put ──> batches ──> threads that ask ──> answers ──> threads that store

There is room for so many batches on that way and no more, so that memory stays flat whatever the
account. What was asked and not stored when a run dies is asked again by the next one.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from syncjob.errors import SyncjobError, WeChatError
from syncjob.interruption import interruption
from syncjob.log_context import with_log_fields
from syncjob.model import Answers, UnionidConflict
from syncjob.sync.ask import Asker, ask, settle
from syncjob.sync.background import Background
from syncjob.sync.group import GROUP, Group

# What may be on its way: OpenIDs that wait to be asked about, and answers that wait to be stored.
QUESTIONS = 15_000
ANSWERS = 2 * GROUP + GROUP // 2
# Unionids that one thread asks about, at least: should batches come to be believed meanwhile, each
# such part costs a call.
FEWEST = 10
# How long an end before its time waits for calls that are out, and for the storing of answers.
PATIENCE = 1.0
STORING_PATIENCE = 5.0


# What is called about a batch: `ask`, or `ask_each`.
Question = Callable[[Asker, Sequence[str]], Answers]


class Save(Protocol):
    """Stores answers in one transaction; returns the conflicts, of whom it has stored nothing."""

    def __call__(self, answers: Answers, *, confirmed: bool) -> list[UnionidConflict]:
        """Do so; `confirmed` answers are stored whatever they contradict."""


class Pipeline:
    """Asks about OpenIDs and has `save` store what WeChat says. Use it in a `with`.

    All of it is done by the caller's thread, one call after the other.
    """

    def __init__(self, asker: Asker, save: Save, *, batch_size: int) -> None:
        self._asker = asker
        self._save = save
        self._batch_size = batch_size
        self._threads = 1
        self._group = Group()

    def put(self, openids: Sequence[str], question: Question = ask) -> None:
        """Have these distinct OpenIDs asked about; raise what has failed, if something has.

        Nobody is asked about twice at a time: of two answers, an old one might be stored last.
        """
        for start in range(0, len(openids), self._batch_size):
            self._put_batch(openids[start : start + self._batch_size], question)

    def flush(self) -> None:
        """Wait until all that was put is stored; raise what has failed, if something has."""
        self._store_own()

    def await_stored(self, openids: Sequence[str], seconds: float) -> None:
        """Wait until none of these is underway, or something has failed, or for so long."""

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

    def _put_batch(self, batch: Sequence[str], question: Question) -> None:
        self._group.add(question(self._asker, batch))
        if self._group.is_due:
            self._store_own()

    def _store_own(self) -> None:
        answers, _ = self._group.take()
        conflicts = self._save(answers, confirmed=False)
        for question in self._questions(answers, conflicts):
            self._save(question(), confirmed=True)

    def _questions(
        self, answers: Answers, conflicts: Sequence[UnionidConflict]
    ) -> list["partial[Answers]"]:
        """Return what is to be called about those in conflict, in parts.

        A part is of one answer of batchget, its last entry first. There are as many as threads, if
        user/info is to be asked about each.
        """
        if not conflicts:
            return []
        infos = {info.openid: info for info in answers.following}
        left = {conflict.openid: conflict for conflict in conflicts}
        batches = [
            [left.pop(info.openid) for info in reversed(batch) if info.openid in left]
            for batch in answers.batches
        ]
        size = self._batch_size
        if not self._asker.moves.believed:
            size = min(size, max(FEWEST, -(-len(conflicts) // self._threads)))
        return [
            partial(settle, self._asker, infos, batch[start : start + size])
            for batch in [*batches, list(left.values())]
            for start in range(0, len(batch), size)
        ]

    def _close(self, failure: BaseException | None) -> None:
        if failure is not None:
            self._asker.stop(failure)
        if isinstance(failure, WeChatError | KeyboardInterrupt) and self._group.batches:
            with suppress(SyncjobError):
                self._save(self._group.take()[0], confirmed=False)


class ConcurrentPipeline(Pipeline):
    """A pipeline of `concurrency` threads that ask and some that store, beside the caller's."""

    def __init__(
        self,
        asker: Asker,
        save: Save,
        *,
        batch_size: int,
        concurrency: int,
        storers: int,
    ) -> None:
        super().__init__(asker, save, batch_size=batch_size)
        self._threads = concurrency
        # Questions are small, and those of a page should find room while the next is stored.
        self._most_pending = QUESTIONS // batch_size + concurrency
        self._most_out = concurrency + ANSWERS // batch_size
        self._pending = 0  # batches that were put and are not stored
        self._out = 0  # those of them that are asked about, or answered
        self._storing = 0  # those of them that are being stored
        # Whose OpenIDs these are; as a set they would take twice the memory.
        self._underway: dict[str, None] = {}
        self._confirmed: list[Answers] = []  # each to be stored by itself
        self._failure: BaseException | None = None
        self._closed = False
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # room, or the end of something
        self._answered = threading.Condition(lock)  # something to store
        self._askers = Background(concurrency, name="ask")
        self._storers = [
            threading.Thread(
                target=with_log_fields(self._store), name=f"store-{number}", daemon=True
            )
            for number in range(storers)
        ]
        for storer in self._storers:
            storer.start()

    def put(self, openids: Sequence[str], question: Question = ask) -> None:
        """Have these distinct OpenIDs asked about; raise what has failed, if something has."""
        with self._changed:
            openids = [openid for openid in openids if openid not in self._underway]
            self._underway.update(dict.fromkeys(openids))
        super().put(openids, question)

    def flush(self) -> None:
        """Wait until all that was put is stored; raise what has failed, if something has."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._pending)
            if self._failure:
                raise self._failure

    def await_stored(self, openids: Sequence[str], seconds: float) -> None:
        """Wait until none of these is underway, or something has failed, or for so long."""
        left = list(openids)  # nobody comes underway again before they are stored

        def are_stored() -> bool:
            while left and left[-1] not in self._underway:
                left.pop()
            return not left

        with self._changed:
            self._changed.wait_for(lambda: self._failure or are_stored(), seconds)

    def _put_batch(self, batch: Sequence[str], question: Question) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._pending < self._most_pending)
            if self._failure:
                raise self._failure
            self._pending += 1
        self._askers.submit(partial(self._ask, batch, question))

    def _ask(self, batch: Sequence[str], question: Question) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._out < self._most_out)
            self._out += 1
        with self._noting_failure():
            answers = question(self._asker, batch)
            with self._changed:
                self._group.add(answers)
                if self._group.batches == 1 or self._group.is_due or self._is_all_answered:
                    self._answered.notify()

    def _settle(self, question: "partial[Answers]") -> None:
        with self._noting_failure():
            answers = question()
            with self._changed:
                self._confirmed.append(answers)
                self._answered.notify()

    def _store(self) -> None:
        with self._noting_failure():
            while True:
                answers, batches = self._take()
                if batches:
                    self._store_group(answers, batches)
                elif len(answers):
                    self._save(answers, confirmed=True)
                    self._count(pending=-1, decided=answers.openids)
                else:
                    return

    def _take(self) -> tuple[Answers, int]:
        """Wait for a group that is to be stored, or confirmed answers, of no batch; or the end."""
        with self._changed:
            while not self._confirmed:
                batches = self._group.batches
                if batches and (self._group.is_due or self._is_all_answered or self._closed):
                    answers, batches = self._group.take()
                    self._storing += batches
                    return answers, batches
                if self._closed:
                    return Answers(), 0
                self._answered.wait(self._group.seconds_left)
            return self._confirmed.pop(), 0

    @property
    def _is_all_answered(self) -> bool:
        """Whether nothing else is out, that might be worth waiting for."""
        return self._group.batches + self._storing == self._pending

    def _store_group(self, answers: Answers, batches: int) -> None:
        conflicts = self._save(answers, confirmed=False)
        with self._changed:
            conflicts = self._without_others_underway(answers, conflicts)
            questions = self._questions(answers, conflicts)
            self._count(
                pending=len(questions) - batches,
                out=-batches,
                storing=-batches,
                decided=answers.openids,
                asked_again=[conflict.openid for conflict in conflicts],
            )
        for question in questions:
            self._askers.submit(partial(self._settle, question))

    def _without_others_underway(
        self, answers: Answers, conflicts: list[UnionidConflict]
    ) -> list[UnionidConflict]:
        """Leave out whoever of other answers is asked about by now: nobody is, twice at a time.

        Such a one is the other owner of a unionid; if they still are, their own answer is in
        conflict too.
        """
        own = set(answers.openids) if conflicts else ()
        return [c for c in conflicts if c.openid in own or c.openid not in self._underway]

    def _count(
        self,
        *,
        pending: int,
        decided: Sequence[str],
        out: int = 0,
        storing: int = 0,
        asked_again: Sequence[str] = (),
    ) -> None:
        with self._changed:
            for openid in decided:
                self._underway.pop(openid, None)
            self._underway.update(dict.fromkeys(asked_again))
            self._pending += pending
            self._out += out
            self._storing += storing
            self._changed.notify_all()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Keep what fails a thread, to be raised by put and flush; let no other ask any more."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised by put and flush
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()
            self._asker.stop(error)

    def _close(self, failure: BaseException | None) -> None:
        if failure is not None:
            self._asker.stop(failure)
        self._askers.stop(wait=PATIENCE)
        with self._changed:
            self._closed = True
            self._answered.notify_all()
        for storer in self._storers:
            storer.join(interruption.left(STORING_PATIENCE))


def open_pipeline(
    asker: Asker, save: Save, *, batch_size: int, concurrency: int, storers: int
) -> Pipeline:
    """Return a pipeline with at most `concurrency` calls out at a time, and so many that store."""
    if concurrency == 1:
        return Pipeline(asker, save, batch_size=batch_size)
    return ConcurrentPipeline(
        asker, save, batch_size=batch_size, concurrency=concurrency, storers=storers
    )
