"""Ask user/info alone about people whom asking by batches has told nothing of."""

import logging
from collections.abc import Sequence

from syncjob.errors import AnswerUnreadable, InvalidOpenID, NoSuchUser
from syncjob.model import Answers, Refusal, shown
from syncjob.wechat.client import WeChatClient

logger = logging.getLogger(__name__)


def ask_each(client: WeChatClient, openids: Sequence[str]) -> Answers:
    """Return what user/info says of each of the OpenIDs, one call each.

    It has the last word: where its answer does not decide, they are refused, and not missing.
    """
    answers = Answers()
    for openid in openids:
        try:
            info = client.get_user_info(openid)
        except (InvalidOpenID, NoSuchUser, AnswerUnreadable) as error:
            unreadable = isinstance(error, AnswerUnreadable)
            errcode = None if unreadable else error.errcode
            logger.info("Still refused. openid=%s errcode=%s", shown(openid), errcode)
            reason = "WeChat's answer about it is unreadable" if unreadable else ""
            reason = reason or f"WeChat refuses it ({errcode})"
            answers.refused.append(Refusal(openid, errcode, reason))
            continue
        if info.openid != openid or info.subscribe is None:
            reason = "WeChat's answer does not say whether they follow"
            answers.refused.append(Refusal(openid, None, reason))
        elif info.subscribe:
            answers.following.append(info)
        else:
            answers.gone.append(openid)
    return answers
