"""Settings of those who are to be told when runs fail, and what they may see of the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from syncjob.config.secrets import Secret

WebhookFormat = Literal["auto", "json", "wecom", "dingtalk", "feishu", "slack"]

# Secrets, and what may hold one: an address with a password, a command with a key.
SECRETS = (
    "SYNCJOB_APPSECRET",
    "SYNCJOB_ACCESS_TOKEN",
    "SYNCJOB_DATABASE_URL",
    "SYNCJOB_API_URL",
    "SYNCJOB_TOKEN_URL",
    "SYNCJOB_TOKEN_COMMAND",
    "SYNCJOB_WEBHOOK_URL",
)


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """Who is to be told, and how: a command (no words: none), a webhook (None: none), or both.

    `state_folder` is where what was told is remembered if the database cannot be asked; None where
    there is no such place. `environ` is what the command may see of the environment. The command is
    kept out of the repr, since it may carry a password.
    """

    appid: str | None
    command: tuple[str, ...] = field(repr=False)
    webhook_url: Secret | None
    webhook_format: WebhookFormat
    state_folder: Path | None
    environ: Mapping[str, str] = field(repr=False)

    @property
    def is_anybody(self) -> bool:
        """Tell whether anybody is to be told."""
        return bool(self.command) or self.webhook_url is not None


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd has made for the service, or else the user's own."""
    # Of several that a unit may name, the first.
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):  # a relative one is to be ignored, by its specification
        return Path(state) / "syncjob"
    return Path(home) / ".local" / "state" / "syncjob" if home.startswith("/") else None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without our secrets, and without the names of their files."""
    hidden = {*SECRETS, *(f"{name}_FILE" for name in SECRETS)}
    return {name: value for name, value in environ.items() if name not in hidden}
