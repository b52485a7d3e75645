"""Ask WeChat about OpenIDs so that the answer can be believed.

batchget is fast and at times wrong: it refuses a whole batch for one OpenID, leaves entries out,
calls followers unfollowed, and was seen to shift unionids. user/info, one call an OpenID, has the
last word.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from syncjob.errors import (
    AnswerUnreadable,
    BatchSizeRefused,
    InvalidOpenID,
    NoSuchUser,
    WeChatError,
)
from syncjob.job.evidence import Evidence
from syncjob.job.moves import Moves
from syncjob.model import Answers, Pseudonyms, Refusal, UnionidConflict, UserInfo
from syncjob.wechat.client import USER_INFO, USER_INFO_BATCHGET, WeChatClient
from syncjob.wechat.gate import Gate, is_of_one_api

logger = logging.getLogger(__name__)

# Attempts of a call that looks for a culprit: the batch that failed had all there are. Who is found
# alone gets one more before they are blamed.
PART, ONE = 2, 3


class Asker:
    """Who asks about people in a run, and what all of its answers have shown. Thread-safe.

    Once `stop` is called, or `gate` is closed for another reason, no call begins any more.
    `get_controls` returns some followers whom WeChat should be able to answer about.
    """

    def __init__(
        self,
        client: WeChatClient,
        *,
        gate: Gate | None = None,
        get_controls: Callable[[], Sequence[str]] = tuple,
        moves: Moves | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.client = client
        self.moves = moves or Moves()
        self.pseudonyms = pseudonyms or Pseudonyms()
        self._gate = gate or Gate()
        self._get_controls = get_controls
        self.batches = Evidence(
            lambda openid: client.get_user_infos([openid], attempts=PART), get_controls, self.check
        )
        self.singles = Evidence(
            lambda openid: client.get_user_info(openid, attempts=PART), self._known, self.check
        )

    def check(self) -> None:
        """Raise what has ended the asking, if anything has."""
        self._gate.check(USER_INFO_BATCHGET.path)

    def stop(self, error: BaseException) -> None:
        """Begin nothing more; if it is no error of WeChat's, let no call of any kind begin.

        Where one API is refused, a batch that is answered already is still brought to its end by
        the other.
        """
        if isinstance(error, WeChatError):
            self._gate.close(error, USER_INFO_BATCHGET.path)
            if not is_of_one_api(error):
                self._gate.close(error, USER_INFO.path)
        else:
            self._gate.close(error)
        self.batches.wake()
        self.singles.wake()

    def get_info(self, openid: str) -> UserInfo | Refusal:
        """Return what user/info says of somebody; a refusal if it cannot say anything of them.

        Raises what keeps it from saying anything of anybody.
        """
        self._gate.check(USER_INFO.path)
        answered = self.singles.answers
        try:
            info = self.client.get_user_info(openid)
        except WeChatError as error:
            if not error.of_one_openid:
                raise
            self.singles.require_answer(error, answered, ())
            self.singles.note_alone(openid, error, ())
            return self.refusal(openid, error)
        self.singles.note_answer([openid])
        return info

    def refusal(self, openid: str, error: WeChatError) -> Refusal:
        """Log that an OpenID is refused by itself; return what is kept of it."""
        logger.info(
            "An OpenID is refused by itself. openid=%s errcode=%s rid=%s",
            self.pseudonyms.name(openid),
            error.errcode,
            error.rid,
        )
        if isinstance(error, AnswerUnreadable):
            return Refusal(openid, None, "WeChat's answer about it is unreadable")
        if error.errcode is None:
            return Refusal(openid, None, "WeChat gives no answer about it")
        return Refusal(openid, error.errcode, f"WeChat refuses it ({error.errcode})", error.rid)

    def disagreement(self, conflict: UnionidConflict, confirmed: str | None) -> str:
        """Say which unionids disagree, each as its pseudonym."""
        name = self.pseudonyms.name
        values = (
            f"batchget says {name(conflict.told)}",
            f"user/info {name(confirmed) if confirmed else 'none'}",
            f"stored is {name(conflict.stored) if conflict.stored else 'none'}",
        )
        return f"its unionid is in doubt: {', '.join(values)}"

    def _known(self) -> Sequence[str]:
        return [*self.batches.answered, *self._get_controls()]


def ask(asker: Asker, openids: Sequence[str]) -> Answers:
    """Return what WeChat says of each of the OpenIDs, distinct and at most a batch.

    Whom batchget does not call a follower, or refuses alone, is asked about by user/info: nobody is
    gone unless that says so. Who fails a batch is found by halving it, with at most 2·log2(n) extra
    calls. Raises what makes WeChat answer about nobody at all.
    """
    batch = _Batch(asker, openids)
    batch.ask(openids)
    return batch.answers


def settle(
    asker: Asker, asked: Mapping[str, UserInfo], conflicts: Sequence[UnionidConflict]
) -> Answers:
    """Ask user/info about each unionid in conflict; what it does not confirm is not stored.

    An OpenID that is in conflict but was not among those `asked` about is the other owner of a
    unionid: what user/info says of it is right, whatever is stored. Where `asker.moves` are
    believed the first conflict speaks for the others: the last entry of its batch, which a shift
    of unionids would have reached.
    """
    answers = Answers()
    is_vouched_for = False
    for conflict in conflicts:
        openid = conflict.openid
        if is_vouched_for and conflict.is_plain and openid in asked and asker.moves.believed:
            answers.following.append(asked[openid])
            continue
        asker.check()
        info = asker.get_info(openid)
        if isinstance(info, Refusal):
            answers.refused.append(info)
        elif info.openid != openid or info.subscribe is None:
            answers.missing.append(openid)
        elif not info.subscribe:
            answers.gone.append(openid)
        elif openid in asked and info.unionid != conflict.told:
            asker.moves.note_contradiction()
            is_vouched_for = False
            refusal = Refusal(openid, None, asker.disagreement(conflict, info.unionid))
            answers.refused.append(refusal)
        else:
            answers.following.append(info)
            if openid in asked and conflict.is_plain:
                asker.moves.note_confirmed()
                is_vouched_for = is_vouched_for or conflict is conflicts[0]
            if info.unionid != conflict.stored and not asker.moves.believed:
                logger.info(
                    "A unionid is not what it was, or not alone; user/info confirms it. "
                    "openid=%s unionid=%s stored=%s",
                    asker.pseudonyms.name(openid),
                    asker.pseudonyms.name(info.unionid),
                    asker.pseudonyms.name(conflict.stored),
                )
    return answers


def ask_each(asker: Asker, openids: Sequence[str]) -> Answers:
    """Return what user/info says of each of the OpenIDs, one call each.

    It has the last word: where its answer does not decide, they are refused, and not missing.
    """
    answers = Answers()
    for openid in openids:
        info = asker.get_info(openid)
        if isinstance(info, Refusal):
            answers.refused.append(info)
        elif info.openid != openid or info.subscribe is None:
            reason = "WeChat's answer does not say whether they follow"
            answers.refused.append(Refusal(openid, None, reason))
        elif info.subscribe:
            answers.following.append(info)
        else:
            answers.gone.append(openid)
    return answers


class _Batch:
    """One batch and its `answers`, as they come."""

    def __init__(self, asker: Asker, openids: Sequence[str]) -> None:
        self.answers = Answers()
        self._asker = asker
        self._evidence = asker.batches
        self._all = openids

    def ask(self, openids: Sequence[str]) -> None:
        """Ask about these; if somebody among them fails the call, find whom."""
        self._asker.check()
        answered = self._evidence.answers
        try:
            infos = self._asker.client.get_user_infos(openids)
        except BatchSizeRefused:
            if len(openids) == 1:
                raise
            middle = len(openids) // 2
            self.ask(openids[:middle])
            self.ask(openids[middle:])
        except WeChatError as error:
            if not error.of_one_openid:
                raise
            with self._evidence.hunting():
                others = self._all if len(openids) > 1 else ()
                self._evidence.require_answer(error, answered, others)
                if len(openids) == 1:
                    self._blame(openids[0], error)
                else:
                    self._halve(openids)
        else:
            self._sort(openids, infos)

    def _halve(self, openids: Sequence[str], *, blamed: bool = True) -> int:
        """Ask about the halves of a batch that failed; return how many are found to fail alone.

        An error names no culprit (40003 gives no index: developers.weixin.qq.com/community/develop/
        doc/000026501ecb90068b1b5518952000). Unless `blamed`, nobody among them need be one.
        """
        middle = len(openids) // 2
        found = self._ask_part(openids[:middle], holds_culprit=False)
        return found + self._ask_part(openids[middle:], holds_culprit=blamed and not found)

    def _ask_part(self, openids: Sequence[str], *, holds_culprit: bool) -> int:
        """Ask about a part; if it is known to hold a culprit, only down to one OpenID.

        That one is never blamed unasked.
        """
        is_one = len(openids) == 1
        if holds_culprit and not is_one:
            return self._halve(openids)
        self._asker.check()
        try:
            infos = self._asker.client.get_user_infos(openids, attempts=ONE if is_one else PART)
        except BatchSizeRefused:
            if is_one:
                raise
            return self._halve(openids, blamed=False)
        except WeChatError as error:
            if not error.of_one_openid:
                raise
            self._evidence.note_failure()
            if not is_one:
                return self._halve(openids)
            self._blame(openids[0], error)
            return 1
        self._sort(openids, infos)
        return 0

    def _blame(self, openid: str, error: WeChatError) -> None:
        """Batchget fails for this OpenID alone; whom it refuses, user/info is asked about."""
        self._evidence.note_alone(openid, error, self._all)
        if isinstance(error, InvalidOpenID | NoSuchUser):
            self._ask_alone(openid)
        else:
            self.answers.refused.append(self._asker.refusal(openid, error))

    def _sort(self, openids: Sequence[str], entries: Sequence[UserInfo]) -> None:
        """Sort the entries of one answer by what they are worth.

        By OpenID, never by position: the order of an answer is not promised, nor its length.
        """
        self._evidence.note_answer(openids)
        infos = {info.openid: info for info in reversed(entries)}
        if infos.keys() == set(openids) and all(info.subscribe == 1 for info in infos.values()):
            # As nearly always, and more cheaply seen. In the order of the answer.
            self.answers.add_batch(list(reversed(infos.values())))
            return
        missing = [openid for openid in openids if openid not in infos]
        doubtful = [o for o in openids if o in infos and infos[o].subscribe != 1]
        following = [infos[o] for o in openids if o in infos and infos[o].subscribe == 1]
        if following and (missing or doubtful):
            # An OpenID that is nobody's was seen to shift the unionids of the entries behind it,
            # the last of which then has none (community/personal/oCJUsw9O7spQia91XWy7NQSCS-QE/
            # question): ask again without it.
            self.ask([info.openid for info in following])
        else:
            self.answers.add_batch(following)
        self.answers.missing.extend(missing)
        for openid in doubtful:
            self._ask_alone(openid)

    def _ask_alone(self, openid: str) -> None:
        info = self._asker.get_info(openid)
        if isinstance(info, Refusal):
            self.answers.refused.append(info)
        elif info.openid != openid or info.subscribe is None:
            self.answers.missing.append(openid)
        elif info.subscribe:
            logger.info(
                "A batch was wrong about a follower; user/info has the last word. openid=%s",
                self._asker.pseudonyms.name(openid),
            )
            self.answers.following.append(info)
        else:
            self.answers.gone.append(openid)
