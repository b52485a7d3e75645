"""Asking WeChat about OpenIDs so that the answer can be trusted.

batchget is fast and sometimes wrong: it refuses a whole batch because of one OpenID, leaves entries
out, calls followers unfollowed, and was seen to shift unionids. user/info takes one call for each
OpenID and has the last word.
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
from syncjob.job.evidence import Evidence, control_openids
from syncjob.job.moves import Moves
from syncjob.model.answers import Answers, Refusal, UnionidConflict
from syncjob.model.pseudonyms import Pseudonyms
from syncjob.model.user_info import UserInfo
from syncjob.wechat.client import USER_INFO, USER_INFO_BATCHGET, WeChatClient
from syncjob.wechat.gate import Gate, is_of_one_api

logger = logging.getLogger(__name__)

# Requests of a call that looks for the OpenID that fails a batch: for a part, and for one OpenID.
PART, ONE = 2, 3


class Asker:
    """Asks about people during one run, and keeps what the answers have shown so far. Thread-safe.

    After `stop`, or once `gate` is closed for another reason, no call begins. `get_controls`
    returns a few followers about whom WeChat should be able to answer.
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
        """Raise the error that stopped the asking, if there is one."""
        self._gate.check(USER_INFO_BATCHGET.path)

    def stop(self, error: BaseException) -> None:
        """Begin no call of batchget; after an error that is not WeChat's, no call of any kind.

        Where only one API is refused, the other one still completes batches that are answered.
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
        """Return the answer of user/info about one OpenID, or its refusal.

        Raises an error that is not about this OpenID alone.
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
            f"batchget says {name(conflict.answered)}",
            f"user/info {name(confirmed) if confirmed else 'none'}",
            f"stored is {name(conflict.stored) if conflict.stored else 'none'}",
        )
        return f"its unionid is in doubt: {', '.join(values)}"

    def _known(self) -> Sequence[str]:
        return control_openids(self.batches.answered, self._get_controls())


def ask(asker: Asker, openids: Sequence[str]) -> Answers:
    """Return what WeChat says about distinct OpenIDs, at most a batch of them.

    user/info is asked about each OpenID that batchget does not call a follower, or refuses alone:
    only user/info may say that somebody is gone. An OpenID that fails a batch is found by halving
    it, with at most 2·log2(n) extra calls. Raises an error that concerns everybody.
    """
    batch = _Batch(asker, openids)
    batch.ask(openids)
    return batch.answers


def settle(
    asker: Asker, conflicts: Sequence[UnionidConflict], asked: Mapping[str, UserInfo]
) -> Answers:
    """Ask user/info about each unionid in conflict; return only what it confirms.

    An OpenID that is not in `asked` is the other owner of a unionid: what user/info says about it
    is stored, whatever is there. Where `asker.moves` are believed, the first
    conflict vouches for the others: it is the last entry of its batch, which a shift of unionids
    would have reached.
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
        elif openid in asked and info.unionid != conflict.answered:
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
    """Return what user/info says about each OpenID, one call each.

    It has the last word: an answer that decides nothing counts as a refusal, not as missing.
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
    """One batch, and the `answers` about it so far."""

    def __init__(self, asker: Asker, openids: Sequence[str]) -> None:
        self.answers = Answers()
        self._asker = asker
        self._evidence = asker.batches
        self._all = openids

    def ask(self, openids: Sequence[str]) -> None:
        """Ask about these OpenIDs; if one of them fails the call, find out which."""
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
        """Ask about the halves of a batch that failed; return how many OpenIDs fail alone.

        An error does not name the OpenID (40003 gives no index:
        developers.weixin.qq.com/community/develop/doc/000026501ecb90068b1b5518952000).
        Unless `blamed`, the batch may hold none that fails.
        """
        middle = len(openids) // 2
        found = self._ask_part(openids[:middle], holds_culprit=False)
        return found + self._ask_part(openids[middle:], holds_culprit=blamed and not found)

    def _ask_part(self, openids: Sequence[str], *, holds_culprit: bool) -> int:
        """Ask about a part of a batch; return how many of its OpenIDs fail alone.

        A part that is known to hold one (`holds_culprit`) is halved without being asked about as a
        whole; a single OpenID is always asked about before it is blamed.
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
        """Note that batchget fails for this OpenID alone; ask user/info if it was refused."""
        self._evidence.note_alone(openid, error, self._all)
        if isinstance(error, InvalidOpenID | NoSuchUser):
            self._ask_alone(openid)
        else:
            self.answers.refused.append(self._asker.refusal(openid, error))

    def _sort(self, openids: Sequence[str], entries: Sequence[UserInfo]) -> None:
        """Sort the entries of one answer into the answers of this batch.

        Entries are matched by OpenID, never by position: neither order nor length is promised.
        """
        self._evidence.note_answer(openids)
        infos = {info.openid: info for info in reversed(entries)}
        if infos.keys() == set(openids) and all(info.subscribe == 1 for info in infos.values()):
            # The usual case, and cheap to recognise. Kept in the order of the answer.
            self.answers.add_batch(list(reversed(infos.values())))
            return
        missing = [openid for openid in openids if openid not in infos]
        doubtful = [o for o in openids if o in infos and infos[o].subscribe != 1]
        following = [infos[o] for o in openids if o in infos and infos[o].subscribe == 1]
        if following and (missing or doubtful):
            # An OpenID that belongs to nobody was seen to shift the unionids of the entries after
            # it, the last of which then has none (community/personal/oCJUsw9O7spQia91XWy7NQSCS-QE/
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
