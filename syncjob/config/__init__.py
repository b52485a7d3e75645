"""Settings: from the environment and a TOML file to checked values, secrets hidden."""

from syncjob.config.reader import (
    DatabaseSettings,
    Settings,
    SettingsReader,
    open_settings,
)
from syncjob.config.secrets import Secret

__all__ = ["DatabaseSettings", "Secret", "Settings", "SettingsReader", "open_settings"]
