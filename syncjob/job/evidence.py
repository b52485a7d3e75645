"""Decides whether WeChat fails to answer about one person, or about everybody.

No HTTP and no SQL here; one object is shared by all threads of a run that ask.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from syncjob.errors import (
    AnswerUnreadable,
    InvalidOpenID,
    NeedsOperator,
    NoSuchUser,
    WeChatError,
    WeChatUnavailable,
)

# After so many failures in a row, each of one OpenID alone, control questions about others come
# before one more OpenID is blamed.
ALONE = 5
# After so many failed calls in a row only one thread at a time looks for the OpenID that fails.
FAILED = 16
# Control questions are about so many known followers, then about three OpenIDs of the batch.
KNOWN = 3
LONGEST = 60.0  # seconds; no control question begins later


class Evidence:
    """What the calls of one endpoint have shown so far. Thread-safe.

    `ask` asks that endpoint about one OpenID; `get_controls` returns a few OpenIDs about which it
    should be able to answer; `check` raises the error that stopped the asking, if there is one.
    """

    def __init__(
        self,
        ask: Callable[[str], object],
        get_controls: Callable[[], Sequence[str]],
        check: Callable[[], None],
    ) -> None:
        self._ask = ask
        self._get_controls = get_controls
        self._check = check
        self._changed = threading.Condition()
        self._answers = 0
        self._answered: Sequence[str] = ()
        self._failed = self._alone = 0  # in a row, since the last answer
        self._most_alone = ALONE
        self._culprits: set[str] = set()
        self._hunter: int | None = None

    @property
    def answers(self) -> int:
        """The number of calls that were answered so far."""
        return self._answers

    @property
    def answered(self) -> Sequence[str]:
        """OpenIDs of the last answer; none if nothing was answered yet."""
        return self._answered

    def note_answer(self, openids: Sequence[str]) -> None:
        """Note that a call about these was answered."""
        with self._changed:
            self._answers += 1
            self._answered = openids[:KNOWN]
            self._failed = self._alone = 0
            if self._hunter is not None:
                self._changed.notify_all()

    def note_failure(self) -> None:
        """Note that a call failed, perhaps because of one OpenID."""
        with self._changed:
            self._failed += 1

    def note_alone(self, openid: str, error: WeChatError, others: Sequence[str]) -> None:
        """Note that a call about one OpenID failed; raise the error if it concerns everybody."""
        with self._changed:
            self._culprits.add(openid)
            self._alone += 1
            are_many = self._alone >= self._most_alone
            if are_many:
                self._most_alone *= 2
        if (are_many or _may_pass(error)) and not self.is_answered(others):
            raise everybody(error)

    def require_answer(self, error: WeChatError, since: int, others: Sequence[str]) -> None:
        """Raise the error unless WeChat answers about others.

        `since` is the number of answers when the failed call began: later ones count as evidence.
        An error that is certainly about an OpenID is never raised. Where WeChat may be busy or out
        of reach, it must answer about others now.
        """
        if isinstance(error, InvalidOpenID | NoSuchUser | AnswerUnreadable):
            return
        is_known = self._answers > since and not _may_pass(error)
        if not is_known and not self.is_answered(others):
            raise everybody(error)

    def is_answered(self, others: Sequence[str]) -> bool:
        """Ask control questions until one is answered; return whether one was.

        About a few known followers first, then about `others`.
        """
        known = list(dict.fromkeys(control_openids(self._answered, self._get_controls())))[:KNOWN]
        far = [others[-1], others[len(others) // 2], others[0]] if others else []
        with self._changed:
            chosen = [o for o in dict.fromkeys([*known, *far]) if o not in self._culprits]
        until = time.monotonic() + LONGEST
        for openid in chosen:
            if time.monotonic() > until:
                break
            try:
                self._ask(openid)
            except WeChatError as error:
                if not error.of_one_openid:
                    raise
            else:
                self.note_answer([openid])
                return True
        return False

    @contextmanager
    def hunting(self) -> Iterator[None]:
        """Look for the OpenID that fails inside the block: one thread at a time, while in doubt.

        While nothing was answered yet, or only failures came lately, one thread is enough to find
        out; all threads together would only spend more calls.
        """
        me = threading.get_ident()
        with self._changed:
            self._failed += 1
            if self._hunter != me:
                self._changed.wait_for(self._may_hunt)
            mine = self._hunter is None
            if mine:
                self._hunter = me
        try:
            self._check()
            yield
        finally:
            with self._changed:
                if mine:
                    self._hunter = None
                self._changed.notify_all()

    def wake(self) -> None:
        """Wake waiting threads, so that they notice that the asking was stopped."""
        with self._changed:
            self._changed.notify_all()

    def _may_hunt(self) -> bool:
        try:
            self._check()
        except Exception:  # noqa: BLE001 - raised where the wait is over
            return True
        return self._hunter is None or (self._answers > 0 and self._failed < FAILED)


def control_openids(answered: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return OpenIDs for control questions: two that were answered, others, the rest of the first.

    In an account whose first page is not stored yet there are no others.
    """
    return [*answered[:2], *others, *answered[2:]]


def _may_pass(error: WeChatError) -> bool:
    return isinstance(error, WeChatUnavailable) and not isinstance(error, AnswerUnreadable)


def everybody(error: WeChatError) -> WeChatError:
    """Return the error to raise when WeChat answers about everybody with this one."""
    if isinstance(error, InvalidOpenID | NoSuchUser):
        return NeedsOperator(
            f"WeChat refuses everybody who was asked about ({error.errcode})\n"
            "the token, or these followers, may be another account's: check SYNCJOB_APPID, "
            "SYNCJOB_TOKEN_SOURCE and the database",
            errcode=error.errcode,
            rid=error.rid,
        )
    if isinstance(error, AnswerUnreadable):
        return WeChatUnavailable(
            "WeChat's answers about many followers in a row are unreadable; the next run goes on"
        )
    return error
