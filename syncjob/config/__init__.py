"""Settings: from the environment and a TOML file to checked values, secrets hidden."""

from syncjob.config.reader import (
    DatabaseSettings,
    Secret,
    Settings,
    SettingsReader,
    open_settings,
)

__all__ = ["DatabaseSettings", "Secret", "Settings", "SettingsReader", "open_settings"]
