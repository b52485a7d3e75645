"""The formats of webhooks: what is posted, and what the answer means. Pure.

Bots of WeCom, DingTalk and Feishu always answer HTTP 200; the body says whether the message was
passed on.
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
# The keys of an answer that are 0 on success, by format. Older bots of Feishu use StatusCode.
CODES: dict[WebhookFormat, tuple[str, ...]] = {
    "wecom": ("errcode",),
    "dingtalk": ("errcode",),
    "feishu": ("code", "StatusCode"),
}
LONGEST_REASON = 200  # characters of a bot's own text


def form_of(url: str, setting: WebhookFormat) -> WebhookFormat:
    """Return the format of the setting; `auto` is replaced by that of the host."""
    return HOSTS.get(urlsplit(url).hostname or "", "json") if setting == "auto" else setting


def body_of(notice: Notice, form: WebhookFormat) -> dict[str, Any]:
    """Return the JSON body to post."""
    if form in ("wecom", "dingtalk"):
        return {"msgtype": "text", "text": {"content": notice.text}}
    if form == "feishu":
        return {"msg_type": "text", "content": {"text": notice.text}}
    if form == "slack":
        # Slack escapes these three only (api.slack.com/docs/formatting).
        text = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return {"text": text}
    return notice.as_json()


def refusal_in(content: bytes, form: WebhookFormat) -> str | None:
    """Return why a bot refused the message, None if it did not.

    The text may quote the bot, and so may hold the key of its address.
    """
    if form not in CODES:
        return None
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    codes = [answer[key] for key in CODES[form] if key in answer] if _is_object(answer) else []
    if not codes:  # an answer of a proxy or another server
        return f"its answer is none of a bot of {form}"
    wrong = next((code for code in codes if code != 0), None)
    if wrong is None:
        return None
    reason = str(answer.get("errmsg") or answer.get("msg") or "")
    return " ".join(f"it answered {wrong!r} {reason}".split())[:LONGEST_REASON]


def without_key(text: str, url: str) -> str:
    """Return the text without any part of the address that may be a key."""
    key_parts = re.findall(r"[^/?&=#]{6,}", url.partition("://")[2].partition("/")[2])
    for part in sorted(key_parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return "".join(character for character in text if character.isprintable())


def _is_object(answer: object) -> bool:
    return isinstance(answer, dict)
