"""What a webhook is sent, and what its answer means, by whose it is. Pure.

A bot of WeCom's, DingTalk's or Feishu's answers HTTP 200 whatever comes of it, and says in the body
whether it has passed the message on.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from syncjob.config import WebhookFormat
from syncjob.notices.notice import Notice

HOSTS: dict[str, WebhookFormat] = {
    "qyapi.weixin.qq.com": "wecom",
    "oapi.dingtalk.com": "dingtalk",
    "api.dingtalk.com": "dingtalk",
    "open.feishu.cn": "feishu",
    "open.larksuite.com": "feishu",  # Feishu outside of China
    "hooks.slack.com": "slack",
}
# By form: under which keys an answer says 0 where all is well. Feishu's older ones say StatusCode.
CODES: dict[WebhookFormat, tuple[str, ...]] = {
    "wecom": ("errcode",),
    "dingtalk": ("errcode",),
    "feishu": ("code", "StatusCode"),
}
LONGEST_REASON = 200  # characters of what a bot says


def form_of(url: str, setting: WebhookFormat) -> WebhookFormat:
    """Return the form that the setting names, or that the address asks for; never `auto`."""
    return HOSTS.get(urlsplit(url).hostname or "", "json") if setting == "auto" else setting


def body_of(notice: Notice, form: WebhookFormat) -> dict[str, Any]:
    """Return what is sent."""
    if form in ("wecom", "dingtalk"):
        return {"msgtype": "text", "text": {"content": notice.text}}
    if form == "feishu":
        return {"msg_type": "text", "content": {"text": notice.text}}
    if form == "slack":
        # These three, and no others, are its own marks (api.slack.com/docs/formatting).
        text = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": text}
    return notice.as_json()


def refusal_in(content: bytes, form: WebhookFormat) -> str | None:
    """Return why a bot has not passed the message on, None if it has.

    The text may hold what the bot says, and so perhaps the key of its address.
    """
    if form not in CODES:
        return None
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    codes = [answer[key] for key in CODES[form] if key in answer] if _is_object(answer) else []
    if not codes:  # a proxy's page, or another server's
        return f"its answer is none of a bot of {form}"
    wrong = next((code for code in codes if code != 0), None)
    if wrong is None:
        return None
    reason = str(answer.get("errmsg") or answer.get("msg") or "")
    return " ".join(f"it answered {wrong!r} {reason}".split())[:LONGEST_REASON]


def without_key(text: str, url: str) -> str:
    """Return the text without any part of the address that may be its key."""
    key_parts = re.findall(r"[^/?&=#]{6,}", url.partition("://")[2].partition("/")[2])
    for part in sorted(key_parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return "".join(character for character in text if character.isprintable())


def _is_object(answer: object) -> bool:
    return isinstance(answer, dict)
