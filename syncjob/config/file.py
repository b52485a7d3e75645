"""The TOML file that may hold the settings: the same keys as the environment, and no others."""

import difflib
import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syncjob.config.secrets import is_public
from syncjob.errors import SettingsError

logger = logging.getLogger(__name__)

SETTING_NAMES = frozenset(
    {
        "SYNCJOB_DATABASE_URL",
        "SYNCJOB_DATABASE_URL_FILE",
        "SYNCJOB_APPID",
        "SYNCJOB_APPSECRET",
        "SYNCJOB_APPSECRET_FILE",
        "SYNCJOB_API_URL",
        "SYNCJOB_TOKEN_SOURCE",
        "SYNCJOB_TOKEN_URL",
        "SYNCJOB_TOKEN_COMMAND",
        "SYNCJOB_ACCESS_TOKEN",
        "SYNCJOB_ACCESS_TOKEN_FILE",
        "SYNCJOB_LANG",
        "SYNCJOB_BATCH_SIZE",
        "SYNCJOB_CONCURRENCY",
        "SYNCJOB_SWEEP_EVERY",
        "SYNCJOB_SWEEP_MAX_AGE",
        "SYNCJOB_MAX_DRIFT",
        "SYNCJOB_MAX_UNFOLLOW",
        "SYNCJOB_REFRESH_AFTER",
        "SYNCJOB_REFRESH_LIMIT",
        "SYNCJOB_QUOTA_RESERVE",
        "SYNCJOB_PROBE_AFTER",
        "SYNCJOB_TIMEOUT",
        "SYNCJOB_METRICS_FILE",
    }
)


def read_settings_file(path: Path) -> dict[str, str]:
    """Return the file's settings as texts; raise SettingsError for a wrong file or key."""
    content, texts, status = _load(path)
    for name, value in content.items():
        _require_setting(path, name, value)
    for name in _exposed(status, texts):
        logger.info(
            "Everybody on this machine can read %s, which holds %s; run: chmod o= %s",
            path,
            name,
            path,
        )
    return texts


def exposed_secrets(path: Path) -> list[str]:
    """Return the secrets that the file holds if everybody on this machine can read it."""
    _, texts, status = _load(path)
    return _exposed(status, texts)


def _exposed(status: os.stat_result, texts: Mapping[str, str]) -> list[str]:
    if not is_public(status):
        return []
    return [name for name, value in texts.items() if _is_secret(name, value)]


def _load(path: Path) -> tuple[dict[str, Any], dict[str, str], os.stat_result]:
    """Return what the file holds, the same as texts, and whose it is."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = tomllib.loads(file.read())
            return (
                content,
                {name: str(value) for name, value in content.items()},
                os.fstat(file.fileno()),
            )
    except OSError as error:
        raise SettingsError(
            f"the settings file {str(path)!r} cannot be read: {error.strerror}"
        ) from None
    except (ValueError, RecursionError) as error:
        # The text of such an error is a place ("at line 3, column 9"), never the line itself.
        raise SettingsError(f"the settings file {str(path)!r} is not TOML: {error}") from None


def _require_setting(path: Path, name: str, value: object) -> None:
    if name not in SETTING_NAMES:
        near = difflib.get_close_matches(name.upper(), SETTING_NAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else "the README lists the settings"
        raise SettingsError(f"the settings file {str(path)!r} has {name!r}; {hint}")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise SettingsError(
            f"{name} in the settings file {str(path)!r} is a {type(value).__name__}; "
            "expected a text or a number"
        )


def _is_secret(name: str, value: str) -> bool:
    """Tell whether a setting is secret by itself, or as an address that holds a password or key."""
    if name in ("SYNCJOB_APPSECRET", "SYNCJOB_ACCESS_TOKEN"):
        return bool(value.strip())
    user, at, _ = value.partition("://")[2].partition("@")
    has_password = bool(at) and ":" in user and not user.startswith("/")  # a path of SQLite's
    if name == "SYNCJOB_DATABASE_URL":
        return has_password or "password=" in value
    return name == "SYNCJOB_TOKEN_URL" and (has_password or "?" in value)
