"""Is it one person whom WeChat cannot answer about, or everybody? What the calls of a run show.

Pure of HTTP and SQL; shared by all threads of a run that ask.
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

# So many in a row who cannot be answered about, each alone, are no accident: others are asked about
# before anything is believed of one more.
ALONE = 5
# After so many failed calls in a row one thread at a time goes on looking for the culprit.
FAILED = 16
# How many known ones are asked about, to see whether anybody is answered about; and then three of
# the batch itself.
KNOWN = 3
LONGEST = 60.0  # seconds; no such question begins later


class Evidence:
    """What the calls of one endpoint show. Thread-safe.

    `ask` asks that endpoint about one OpenID; `get_controls` returns some whom it should be able to
    answer about; `check` raises what has ended the asking, if anything has.
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
        """How many calls were answered so far."""
        return self._answers

    @property
    def answered(self) -> Sequence[str]:
        """Whom the last answer was about; none if nothing was answered yet."""
        return self._answered

    def note_answer(self, openids: Sequence[str]) -> None:
        """A call about these was answered."""
        with self._changed:
            self._answers += 1
            self._answered = openids[:2]
            self._failed = self._alone = 0
            if self._hunter is not None:
                self._changed.notify_all()

    def note_failure(self) -> None:
        """A call failed for which one OpenID may be why."""
        with self._changed:
            self._failed += 1

    def note_alone(self, openid: str, error: WeChatError, others: Sequence[str]) -> None:
        """Somebody cannot be answered about, alone; raise what it is if it is everybody."""
        with self._changed:
            self._culprits.add(openid)
            self._alone += 1
            are_many = self._alone >= self._most_alone
            if are_many:
                self._most_alone *= 2
        if (are_many or _may_pass(error)) and not self.is_answered(others):
            raise everybody(error)

    def require_answer(self, error: WeChatError, since: int, others: Sequence[str]) -> None:
        """Raise the error unless WeChat answers about others; `since` so many answers it has tried.

        What is surely about an OpenID is never raised. Where WeChat may be busy, or out of reach,
        the others must be answered about now.
        """
        if isinstance(error, InvalidOpenID | NoSuchUser | AnswerUnreadable):
            return
        is_known = self._answers > since and not _may_pass(error)
        if not is_known and not self.is_answered(others):
            raise everybody(error)

    def is_answered(self, others: Sequence[str]) -> bool:
        """Ask about a few who should be known, else about `others`, until one is answered about."""
        known = list(dict.fromkeys([*self._answered, *self._get_controls()]))[:KNOWN]
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
        """Look for a culprit in the block: alone, as long as there may be none.

        While nothing was answered yet, or not for long, one thread shows what is the matter; as
        many calls as there are threads, and each again, would show no more.
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
        """Have those who wait look again whether the asking has ended."""
        with self._changed:
            self._changed.notify_all()

    def _may_hunt(self) -> bool:
        try:
            self._check()
        except Exception:  # noqa: BLE001 - raised where the wait is over
            return True
        return self._hunter is None or (self._answers > 0 and self._failed < FAILED)


def _may_pass(error: WeChatError) -> bool:
    return isinstance(error, WeChatUnavailable) and not isinstance(error, AnswerUnreadable)


def everybody(error: WeChatError) -> WeChatError:
    """Return what it means that WeChat answers about nobody, but like this."""
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
