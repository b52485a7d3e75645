"""The channels by which somebody is told: a command of the operator's, and a webhook."""

import json
import subprocess
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from syncjob.commands import run_command
from syncjob.config import NoticeSettings, Secret, WebhookFormat
from syncjob.errors import SettingsError, SyncjobError
from syncjob.notices.forms import body_of, form_of, refusal_in, without_key
from syncjob.notices.notice import Notice

if TYPE_CHECKING:
    from syncjob.wechat.http import Answer

COMMAND_TIMEOUT = 60.0  # seconds
WEBHOOK_TIMEOUT = 10.0  # seconds, for all of it


class NotTold(SyncjobError):
    """Nobody was told by this channel; the text says why."""


class Channel(Protocol):
    """A way to tell somebody. `name` is what it is remembered by, `shown` what a person reads."""

    name: str
    shown: str

    def tell(self, notice: Notice) -> None:
        """Tell; raise NotTold if that cannot be done, or may have failed."""


class NoticeCommand:
    """A command that gets the notice on stdin and in its environment. It is run without a shell."""

    name = shown = "command"

    def __init__(self, words: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._words = words
        self._environ = environ

    def tell(self, notice: Notice) -> None:
        """Run the command; what it says goes where ours goes."""
        told = json.dumps(notice.as_json(), ensure_ascii=False).encode()
        variables = {
            "SYNCJOB_EVENT": notice.event,
            "SYNCJOB_TEXT": notice.text,
            "SYNCJOB_EXIT_CODE": str(notice.exit_code),
            "SYNCJOB_ERRCODE": "" if notice.errcode is None else str(notice.errcode),
        }
        try:
            code = run_command(
                self._words,
                timeout=COMMAND_TIMEOUT,
                stdin=told,
                environ={**self._environ, **variables},
            )
        except FileNotFoundError:
            raise NotTold(f"the command was not found: {self._words[0]}") from None
        except OSError as error:
            raise NotTold(f"the command cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise NotTold(f"the command did not end within {COMMAND_TIMEOUT:.0f} s") from None
        if code != 0:
            raise NotTold(f"the command ended with exit code {code}")


class Webhook:
    """An address that the notice is sent to, in the form that its host understands."""

    name = "webhook"

    def __init__(self, url: Secret, setting: WebhookFormat) -> None:
        self._url = url
        self._form = form_of(url.reveal(), setting)
        self._host = urlsplit(url.reveal()).hostname
        self.shown = f"webhook ({self._host}, {self._form})"

    def tell(self, notice: Notice) -> None:
        """Send it, and look whether a bot has taken it; a connection that fails is tried twice."""
        # Here, since it takes long to import and is seldom needed.
        from syncjob.wechat.http import RequestFailed

        begun = monotonic()
        try:
            try:
                answer = self._send(notice, WEBHOOK_TIMEOUT)
            except RequestFailed:
                left = WEBHOOK_TIMEOUT - (monotonic() - begun)
                if left < WEBHOOK_TIMEOUT / 2:
                    raise
                answer = self._send(notice, left)
        except (RequestFailed, SettingsError) as error:
            raise NotTold(f"{self._host}: {error}") from None
        if not 200 <= answer.status < 300:
            raise NotTold(f"{self._host} answered HTTP {answer.status}")
        refusal = refusal_in(answer.content, self._form)
        if refusal is not None:
            raise NotTold(f"{self._host}: {without_key(refusal, self._url.reveal())}")

    def _send(self, notice: Notice, seconds: float) -> "Answer":
        """Post it once, within so many seconds."""
        from syncjob.wechat.http import CONNECT_TIMEOUT, HttpClient

        exchange = HttpClient(self._url.reveal(), timeout=max(0.1, seconds - CONNECT_TIMEOUT))
        try:
            return exchange.send("POST", "", None, body_of(notice, self._form))
        finally:
            exchange.close()


def channels_of(settings: NoticeSettings) -> list[Channel]:
    """Return the channels that are set."""
    channels: list[Channel] = []
    if settings.command:
        channels.append(NoticeCommand(settings.command, settings.environ))
    if settings.webhook_url is not None:
        channels.append(Webhook(settings.webhook_url, settings.webhook_format))
    return channels
