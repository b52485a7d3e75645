"""The channels of notices: a command and a webhook."""

import json
import subprocess
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from syncjob.commands import run_command
from syncjob.config import NoticeSettings, Secret, WebhookFormat
from syncjob.errors import SettingsError, SyncjobError
from syncjob.notices.formats import body_of, form_of, refusal_in, without_key
from syncjob.notices.notice import Notice

if TYPE_CHECKING:
    from syncjob.wechat.http import Answer

COMMAND_TIMEOUT = 60.0  # seconds
WEBHOOK_TIMEOUT = 10.0  # seconds, for all of it


class NotSent(SyncjobError):
    """The channel could not send the notice; the text says why."""


class Channel(Protocol):
    """Sends notices. `name` is stored with what was sent, `shown` is printed."""

    name: str
    shown: str

    def send(self, notice: Notice) -> None:
        """Send the notice; raise NotSent if that fails or may have failed."""


class NoticeCommand:
    """A command, run without a shell, with the notice on stdin and in its environment."""

    name = shown = "command"

    def __init__(self, words: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._words = words
        self._environ = environ

    def send(self, notice: Notice) -> None:
        """Run the command; its output goes where ours goes."""
        body = json.dumps(notice.as_json(), ensure_ascii=False).encode()
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
                stdin=body,
                environ={**self._environ, **variables},
            )
        except FileNotFoundError:
            raise NotSent(f"the command was not found: {self._words[0]}") from None
        except OSError as error:
            raise NotSent(f"the command cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise NotSent(f"the command did not end within {COMMAND_TIMEOUT:.0f} s") from None
        if code != 0:
            raise NotSent(f"the command ended with exit code {code}")


class Webhook:
    """An address that the notice is posted to, in the format of its host."""

    name = "webhook"

    def __init__(
        self, url: Secret, setting: WebhookFormat, *, timeout: float = WEBHOOK_TIMEOUT
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._form = form_of(url.reveal(), setting)
        self._host = urlsplit(url.reveal()).hostname
        self.shown = f"webhook ({self._host}, {self._form})"

    def send(self, notice: Notice) -> None:
        """Post the notice and check the bot's answer; a failed connection is tried twice."""
        # Imported here: it is slow to import and seldom needed.
        from syncjob.wechat.http import RequestFailed

        begun = monotonic()
        try:
            try:
                answer = self._send(notice, self._timeout)
            except RequestFailed:
                left = self._timeout - (monotonic() - begun)
                if left < self._timeout / 2:
                    raise
                answer = self._send(notice, left)
        except (RequestFailed, SettingsError) as error:
            raise NotSent(f"{self._host}: {error}") from None
        if not 200 <= answer.status < 300:
            raise NotSent(f"{self._host} answered HTTP {answer.status}")
        refusal = refusal_in(answer.content, self._form)
        if refusal is not None:
            raise NotSent(f"{self._host}: {without_key(refusal, self._url.reveal())}")

    def _send(self, notice: Notice, seconds: float) -> "Answer":
        """Post it once, within so many seconds."""
        from syncjob.wechat.http import CONNECT_TIMEOUT, HttpClient

        exchange = HttpClient(self._url.reveal(), timeout=max(0.1, seconds - CONNECT_TIMEOUT))
        try:
            return exchange.send("POST", "", None, body_of(notice, self._form))
        finally:
            exchange.close()


def open_channels(settings: NoticeSettings) -> list[Channel]:
    """Return the channels that the settings name."""
    channels: list[Channel] = []
    if settings.command:
        channels.append(NoticeCommand(settings.command, settings.environ))
    if settings.webhook_url is not None:
        channels.append(Webhook(settings.webhook_url, settings.webhook_format))
    return channels
