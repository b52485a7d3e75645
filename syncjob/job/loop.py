"""The loop that asks about OpenIDs and stores the answers.

    put ──> batches ──> ask (workers) ──> answers ──> store (workers), in groups
                                ^                        │
                                └── unionids in conflict ┘

One thread hands out and takes results, one at a time, so nothing here is locked. The constants
below limit how many OpenIDs wait, are asked about, or are answered and not stored; so memory stays
flat whatever the account. What was asked and not stored when a run dies is asked again by the next.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from syncjob.errors import SyncjobError, WeChatError
from syncjob.interruption import interruption
from syncjob.job.ask import Asker, ask, settle
from syncjob.job.job import Job
from syncjob.model.answers import Answers, UnionidConflict

# Groups of a hundred cost the database twice as much an answer as groups of two thousand.
GROUP = 2_000
GROUP_SECONDS = 0.5
# OpenIDs that are asked about, or answered and not stored.
MOST_UNSTORED = 2 * GROUP + GROUP // 2
# While more OpenIDs than these wait to be asked about, nobody else is read or listed.
PREFETCH = 10_000
# OpenIDs that are read from the database at once.
CHUNK = 10_000
# The smallest part of conflicts that is given to a worker: each part costs at least one call, also
# where batches come to be trusted meanwhile.
FEWEST = 10
# How long the loop, when it ends early, waits for calls that are out, and for the storing of what
# was answered.
CALL_SECONDS = 1.0
STORE_SECONDS = 5.0

# What is asked about a batch: `ask`, or `ask_each`.
Question = Callable[[Asker, Sequence[str]], Answers]


class Saved(Protocol):
    """What storing a group of answers met."""

    @property
    def conflicts(self) -> list[UnionidConflict]:
        """The answers of which nothing was stored, since their unionid contradicts what is."""


S = TypeVar("S", bound=Saved)


class Storing(Protocol[S]):
    """How answers are stored."""

    def saving(self, answers: Answers, *, confirmed: bool) -> Callable[[], S]:
        """Return the transaction that stores them; `confirmed` ones whatever they contradict."""

    def saved(self, answers: Answers, saved: S) -> None:
        """Take note of what was stored."""


class AskLoop(Generic[S]):
    """Asks about OpenIDs and stores what WeChat says. Use it in a `with`; one thread owns it.

    A failure of WeChat's that lasts is kept as `failure`: nobody else is asked about then, and
    `flush` raises it. Any other failure is raised at once.
    """

    def __init__(self, job: Job, storing: Storing[S]) -> None:
        self.failure: WeChatError | None = None
        self.put_batches = self.handed_out = 0  # how many batches, since the beginning
        self._workers = job.workers
        self._asker = job.asker
        self._storing = storing
        self._batch_size = job.plan.batch_size
        calls = job.workers.calls
        # Twice the threads, so that the next batch of each is queued already.
        self._most_out = 2 * calls if calls > 1 else 1
        self._most_unstored = MOST_UNSTORED + calls * self._batch_size
        self._batches: deque[tuple[Sequence[str], Question]] = deque()
        self._underway: set[str] = set()  # put, and not stored
        self._out = 0  # batches and parts of conflicts that are asked about
        self._unstored = 0  # OpenIDs that are asked about, or answered and not stored
        self._answers: deque[tuple[float, Answers]] = deque()  # by the time at which they came
        self._answered = 0  # OpenIDs of these
        self._confirmed: deque[Answers] = deque()  # each is stored by itself
        self._saves = 0  # transactions that are running
        self._closing = False

    # --- what is put in ----------------------------------------------------------------------

    def put(self, openids: Sequence[str], question: Question = ask) -> None:
        """Have these distinct OpenIDs asked about, but for those that are underway already.

        Nobody is asked about twice at a time: of two answers, an old one might be stored last.
        """
        if self.failure is not None:
            return
        if self._underway:
            openids = [openid for openid in openids if openid not in self._underway]
        self._underway.update(openids)
        for start in range(0, len(openids), self._batch_size):
            self._batches.append((openids[start : start + self._batch_size], question))
            self.put_batches += 1

    def is_underway(self, openid: str) -> bool:
        """Tell whether the answer about somebody is waited for, or not stored yet."""
        return openid in self._underway

    @property
    def has_room(self) -> bool:
        """Whether more people should be read or listed, since few wait to be asked about."""
        return len(self._batches) * self._batch_size < PREFETCH

    def run(self, chunks: Iterable[tuple[Sequence[str], Question]]) -> None:
        """Ask about all OpenIDs of the chunks and store the answers; raise what fails."""
        for openids, question in chunks:
            self.put(openids, question)
            while not self.has_room and self.failure is None:
                self.turn()
            if self.failure is not None:
                break
        self.flush()

    def flush(self) -> None:
        """Wait until all that was put is stored; raise what has failed, if something has."""
        while self.failure is None and not self._is_idle:
            self.turn()
        if self.failure is not None:
            raise self.failure

    @property
    def _is_idle(self) -> bool:
        return not (self._batches or self._out or self._has_answers())

    def _has_answers(self) -> bool:
        """Tell whether answers wait to be stored, or are being stored."""
        return bool(self._answers or self._confirmed or self._saves)

    # --- what is handed out --------------------------------------------------------------------

    def turn(self, wake_at: float | None = None) -> None:
        """Hand out what can be, and take one result, or wait until then for one."""
        self.hand_out()
        due_at = self._group_due_at
        if due_at is not None and (wake_at is None or due_at < wake_at):
            wake_at = due_at
        self._workers.wait(wake_at)

    def hand_out(self) -> None:
        """Give the workers what they have room for."""
        while self._batches and self._out < self._most_out:
            openids, question = self._batches[0]
            if self._unstored + len(openids) > self._most_unstored and self._unstored:
                break
            self._batches.popleft()
            self.handed_out += 1
            self._out += 1
            self._unstored += len(openids)
            asking = partial(_ask, question, self._asker, openids)
            self._workers.start("ask", asking, partial(self._on_answers, len(openids)))
        while self._saves < self._workers.writers and self._confirmed:
            self._save(self._confirmed.popleft(), confirmed=True)
        while self._saves < self._workers.writers and self._group_is_due:
            self._save(self._take_group(), confirmed=False)

    @property
    def _group_is_due(self) -> bool:
        if not self._answers:
            return False
        nothing_else_comes = not self._batches and not self._out
        first_came_at, _ = self._answers[0]
        return (
            self._answered >= GROUP
            or nothing_else_comes
            or self._closing
            or time.monotonic() >= first_came_at + GROUP_SECONDS
        )

    @property
    def _group_due_at(self) -> float | None:
        """When a group is due that is not yet; None if a result must come first."""
        if not self._answers or self._saves >= self._workers.writers:
            return None
        return self._answers[0][0] + GROUP_SECONDS

    def _take_group(self) -> Answers:
        """Return the first GROUP answers, no batch being divided."""
        group = Answers()
        while self._answers and len(group) < GROUP:
            group.extend(self._answers.popleft()[1])
        self._answered -= len(group)
        return group

    def _save(self, answers: Answers, *, confirmed: bool) -> None:
        self._saves += 1
        saving = self._storing.saving(answers, confirmed=confirmed)
        self._workers.start("store", saving, partial(self._on_saved, answers, confirmed))

    # --- what comes back -----------------------------------------------------------------------

    def _on_answers(self, asked: int, answers: Answers, error: BaseException | None) -> None:
        self._out -= 1
        if error is not None:
            self._unstored -= asked
            self._fail(error)
            return
        self._answers.append((time.monotonic(), answers))
        self._answered += len(answers)

    def _on_settled(self, asked: int, answers: Answers, error: BaseException | None) -> None:
        self._out -= 1
        if error is not None:
            self._unstored -= asked
            self._fail(error)
            return
        self._confirmed.append(answers)

    def _on_saved(
        self, answers: Answers, confirmed: bool, saved: S, error: BaseException | None
    ) -> None:
        self._saves -= 1
        if error is not None:
            raise error
        self._unstored -= len(answers)
        own = set(answers.openids)
        # The other owner of a unionid is not asked about while an answer about them is underway:
        # their own answer will meet the conflict, and is settled then.
        conflicts = [
            c for c in saved.conflicts if c.openid in own or c.openid not in self._underway
        ]
        self._underway -= own
        self._storing.saved(answers, saved)
        ends = self._closing or self.failure is not None
        for part in () if ends else self._parts(answers, conflicts):
            openids = [conflict.openid for conflict in part]
            self._underway.update(openids)
            self._out += 1
            self._unstored += len(openids)
            infos = {info.openid: info for info in answers.following}
            settling = partial(_ask, partial(settle, asked=infos), self._asker, part)
            self._workers.start("ask", settling, partial(self._on_settled, len(openids)))

    def _parts(
        self, answers: Answers, conflicts: Sequence[UnionidConflict]
    ) -> list[list[UnionidConflict]]:
        """Divide conflicts into parts, each to be settled by one job.

        A part is of one answer of batchget, its last entry first. There are as many as calls at a
        time, if user/info is to be asked about each.
        """
        if not conflicts:
            return []
        left = {conflict.openid: conflict for conflict in conflicts}
        batches = [
            [left.pop(info.openid) for info in reversed(batch) if info.openid in left]
            for batch in answers.batches
        ]
        size = self._batch_size
        if not self._asker.moves.believed:
            size = min(size, max(FEWEST, -(-len(conflicts) // self._workers.calls)))
        return [
            batch[start : start + size]
            for batch in [*batches, list(left.values())]
            for start in range(0, len(batch), size)
        ]

    def _fail(self, error: BaseException) -> None:
        """Ask about nobody else; raise what is no failure of WeChat's."""
        if self._closing:
            return  # the first failure counts
        self._batches.clear()
        if not isinstance(error, WeChatError):
            raise error
        self.failure = self.failure or error

    # --- the end -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Flush; after a failure of WeChat's or a signal, store what was answered and no more."""
        if exc is None:
            try:
                self.flush()
            except BaseException as failure:
                self._close(failure)
                raise
        else:
            self._close(exc)

    def _close(self, failure: BaseException) -> None:
        self._asker.stop(failure)
        self._workers.finish()
        self._batches.clear()
        self._closing = True
        if not isinstance(failure, WeChatError | KeyboardInterrupt):
            return
        with suppress(SyncjobError):
            self._drain(lambda: self._out > 0, CALL_SECONDS)
            self._drain(
                lambda: bool(self._answers or self._confirmed or self._saves), STORE_SECONDS
            )

    def _drain(self, goes_on: Callable[[], bool], seconds: float) -> None:
        """Take results while something is waited for, for so long at most."""
        until = time.monotonic() + interruption.left(seconds)
        self.hand_out()
        while goes_on() and time.monotonic() < until:
            self._workers.wait(until)
            self.hand_out()


def _ask(
    question: Callable[[Asker, Sequence[Any]], Answers], asker: Asker, about: Sequence[Any]
) -> Answers:
    """Ask in a worker; if that fails, let no other worker begin a call."""
    try:
        return question(asker, about)
    except BaseException as error:
        asker.stop(error)
        raise
