"""A notice, as a JSON object and as lines of text. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from syncjob.model.spans import span_in_words
from syncjob.notices.state import OK, state_in_words

# Raised when a field changes its meaning or is removed, not when one is added.
SCHEMA_VERSION = 1
# Bytes: the limit of the strictest bot, WeCom's (developer.work.weixin.qq.com, path 91770).
LONGEST_TEXT = 2048

Event = Literal["failed", "recovered", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One change of an account's state, or a test.

    `before` is the state that was sent last. `as_of` is None if the database was not asked.
    """

    event: Event
    appid: str | None
    host: str
    command: str
    exit_code: int = 0
    run: int | None = None
    errcode: int | None = None
    rid: str | None = None
    message: str | None = None
    before: str = OK
    last_success_at: datetime | None = None
    as_of: datetime | None = None

    @property
    def text(self) -> str:
        """Lines for a person. They contain `syncjob`, since bots may require a keyword.

        Never longer than LONGEST_TEXT: only the message is cut.
        """
        who = self.appid or "(no AppID)"
        where = f"{self.command} on {self.host}"
        cure = "more with: syncjob status"
        if self.event == "test":
            what = "nothing has failed: somebody wants to see whether this arrives"
            return _joined(f"syncjob: {who} test ({where})", what, cure)
        if self.event == "recovered":
            what = f"it had failed with {state_in_words(self.before)}"
            return _joined(f"syncjob: {who} recovered ({where})", what, cure)
        return _joined(
            f"syncjob: {who} failed ({where}, exit code {self.exit_code})",
            _cleaned(self.message or "no reason is known"),
            f"last success: {self._last_success()}",
            cure,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for `json.dumps`, instants in ISO 8601."""
        moment = self.last_success_at
        return {
            "schema_version": SCHEMA_VERSION,
            "event": self.event,
            "appid": self.appid,
            "host": self.host,
            "command": self.command,
            "run": self.run,
            "exit_code": self.exit_code,
            "errcode": self.errcode,
            "rid": self.rid,
            "message": None if self.message is None else _cleaned(self.message),
            "last_success_at": None if moment is None else moment.isoformat(),
            "text": self.text,
        }

    def _last_success(self) -> str:
        if self.as_of is None:
            return "not known, the database was not asked"
        if self.last_success_at is None:
            return "never"
        ago = span_in_words(self.as_of - self.last_success_at)
        return f"{ago} ago ({self.last_success_at:%Y-%m-%d %H:%M} UTC)"


def _joined(head: str, what: str, *rest: str) -> str:
    """Join the lines; cut the second so that all fit into LONGEST_TEXT."""
    room = LONGEST_TEXT - sum(len(line.encode()) + 1 for line in (head, *rest))
    if len(what.encode()) > room:
        what = what.encode()[: room - len("…".encode())].decode("utf-8", "ignore") + "…"
    return "\n".join((head, what, *rest))


def _cleaned(text: str) -> str:
    """Return the text without NUL and lone surrogates, which no variable can hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
