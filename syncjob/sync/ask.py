"""Ask WeChat about OpenIDs so that the answer can be believed.

batchget is fast and at times wrong: it refuses a whole batch for one OpenID, leaves entries out,
calls followers unfollowed, and was seen to shift unionids. user/info, one call an OpenID, has the
last word.
"""

import logging
from collections.abc import Mapping, Sequence

from syncjob.errors import (
    AnswerUnreadable,
    BatchSizeRefused,
    InvalidOpenID,
    NoSuchUser,
    WeChatError,
)
from syncjob.model import Answers, Refusal, UnionidConflict, UserInfo, shown
from syncjob.wechat.client import WeChatClient

logger = logging.getLogger(__name__)

# So many OpenIDs next to each other are not each unreadable by themselves: it is WeChat that is.
UNREADABLE_IN_A_ROW = 8


def ask(client: WeChatClient, openids: Sequence[str]) -> Answers:
    """Return what WeChat says of each of the OpenIDs, distinct and at most a batch.

    Whom batchget does not call a follower is asked about by user/info: nobody is gone unless that
    says so. Who fails a batch is found by halving it, with at most 2·log2(n) extra calls.
    """
    answers = Answers()
    _hunt(client, openids, answers, refused_before=False)
    return answers


def settle(
    client: WeChatClient, asked: Mapping[str, UserInfo], conflicts: Sequence[UnionidConflict]
) -> Answers:
    """Ask user/info about each unionid in conflict; what it does not confirm is not stored.

    An OpenID that is in conflict but was not among those `asked` about is the other owner of a
    unionid: what user/info says of it is right, whatever is stored.
    """
    answers = Answers()
    for conflict in conflicts:
        openid = conflict.openid
        try:
            info = client.get_user_info(openid)
        except (InvalidOpenID, NoSuchUser) as error:
            reason = "WeChat refuses it by itself"
            answers.refused.append(Refusal(openid, error.errcode, reason))
            continue
        if info.openid != openid or info.subscribe is None:
            answers.missing.append(openid)
        elif not info.subscribe:
            answers.gone.append(openid)
        elif openid in asked and info.unionid != conflict.told:
            answers.refused.append(Refusal(openid, None, _disagreement(conflict, info.unionid)))
        else:
            answers.following.append(info)
            if info.unionid != conflict.stored:
                logger.info(
                    "A unionid is not what it was, or not alone; user/info confirms it. "
                    "openid=%s unionid=%s stored=%s",
                    shown(openid),
                    shown(info.unionid or ""),
                    shown(conflict.stored or ""),
                )
    return answers


def _hunt(
    client: WeChatClient, openids: Sequence[str], answers: Answers, *, refused_before: bool
) -> None:
    """Ask about a batch; halve it as long as it is refused whole, which names no culprit.

    (40003 gives no index: developers.weixin.qq.com/community/develop/doc/
    000026501ecb90068b1b5518952000.) With `refused_before` it is known to hold a culprit: then only
    halves are asked for, down to one OpenID, which is never condemned unasked.
    """
    blames_an_openid = refused_before
    if not refused_before or len(openids) == 1:
        try:
            infos = client.get_user_infos(openids)
        except (InvalidOpenID, NoSuchUser, AnswerUnreadable) as error:
            if len(openids) == 1:
                answers.refused.append(_refusal(openids[0], error))
                return
            blames_an_openid = True
        except BatchSizeRefused:
            if len(openids) == 1:
                raise
        else:
            _sort(client, openids, {info.openid: info for info in reversed(infos)}, answers)
            return
    middle = len(openids) // 2
    refusals = len(answers.refused)
    _hunt(client, openids[:middle], answers, refused_before=False)
    found = answers.refused[refusals:]
    if len(found) >= UNREADABLE_IN_A_ROW and all(r.errcode is None for r in found):
        raise AnswerUnreadable(
            "WeChat's answers about many followers in a row are unreadable; the next run goes on"
        )
    _hunt(client, openids[middle:], answers, refused_before=blames_an_openid and not found)


def _sort(
    client: WeChatClient, openids: Sequence[str], infos: dict[str, UserInfo], answers: Answers
) -> None:
    """Sort the entries of one answer by what they are worth.

    By OpenID, never by position: the order of an answer is not promised, nor its length.
    """
    if infos.keys() == set(openids) and all(info.subscribe == 1 for info in infos.values()):
        answers.following.extend(infos.values())  # as nearly always, and more cheaply seen
        return
    missing = [openid for openid in openids if openid not in infos]
    doubtful = [o for o in openids if o in infos and infos[o].subscribe != 1]
    following = [infos[o] for o in openids if o in infos and infos[o].subscribe == 1]
    if following and (missing or doubtful):
        # An OpenID that is nobody's was seen to shift the unionids of the entries behind it, the
        # last of which then has none (community/personal/oCJUsw9O7spQia91XWy7NQSCS-QE/question):
        # ask again without it.
        _hunt(client, [info.openid for info in following], answers, refused_before=False)
    else:
        answers.following.extend(following)
    answers.missing.extend(missing)
    for openid in doubtful:
        _ask_alone(client, openid, answers)


def _ask_alone(client: WeChatClient, openid: str, answers: Answers) -> None:
    try:
        info = client.get_user_info(openid)
    except (InvalidOpenID, NoSuchUser, AnswerUnreadable) as error:
        answers.refused.append(_refusal(openid, error))
        return
    if info.openid != openid or info.subscribe is None:
        answers.missing.append(openid)
    elif info.subscribe:
        logger.info("A batch called a follower unfollowed. openid=%s", shown(openid))
        answers.following.append(info)
    else:
        answers.gone.append(openid)


def _refusal(openid: str, error: WeChatError) -> Refusal:
    logger.info(
        "An OpenID is refused by itself. openid=%s errcode=%s", shown(openid), error.errcode
    )
    if isinstance(error, AnswerUnreadable):
        return Refusal(openid, None, "WeChat's answer about it is unreadable")
    return Refusal(openid, error.errcode, f"WeChat refuses it ({error.errcode})")


def _disagreement(conflict: UnionidConflict, confirmed: str | None) -> str:
    """Say which unionids disagree, each as its hash."""
    values = (
        f"batchget says {shown(conflict.told)}",
        f"user/info {shown(confirmed) if confirmed else 'none'}",
        f"stored is {shown(conflict.stored) if conflict.stored else 'none'}",
    )
    return f"its unionid is in doubt: {', '.join(values)}"
