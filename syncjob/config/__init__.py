"""Reads the settings from the environment and a TOML file; checked, with secrets hidden."""

from syncjob.config.reader import SettingsReader, open_settings
from syncjob.config.secrets import Secret
from syncjob.config.settings import (
    AccountSettings,
    DatabaseSettings,
    NoticeSettings,
    Settings,
    WebhookFormat,
)

__all__ = [
    "AccountSettings",
    "DatabaseSettings",
    "NoticeSettings",
    "Secret",
    "Settings",
    "SettingsReader",
    "WebhookFormat",
    "open_settings",
]
