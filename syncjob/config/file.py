"""Reads the TOML file of settings: the same names as in the environment, and no others."""

import datetime
import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from syncjob.config.secrets import is_public, unreadable
from syncjob.config.settings import BY_NAME, SETTING_NAMES
from syncjob.errors import SettingsError

LONGEST_FILE = 1 << 20  # bytes; /dev/zero never ends
# The narrower type first: a datetime is a date, and a bool an int.
KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (list, "list"),
    (dict, "table"),
    (datetime.datetime, "date and time"),
    (datetime.date, "date"),
    (datetime.time, "time of day"),
)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file holds.

    `texts` are the valid settings in it, `exposed` the secrets among them that every user of this
    machine can read, `fault` is what is wrong with the file, if anything. `denied`: nobody named
    the file, and this user may not read it; that is no fault by itself.
    """

    path: Path
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    exposed: list[str] = field(default_factory=list)
    fault: SettingsError | None = None
    denied: bool = False


def read_settings_file(path: Path) -> SettingsFile:
    """Read the file; what is wrong with it is in `fault`, and its valid settings are kept."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            written = file.read(LONGEST_FILE + 1)
        if len(written) > LONGEST_FILE:
            return _no_toml(path, "it is longer than a settings file can be")
        # Universal newlines: some editors end lines with CR LF, or with CR alone.
        lines = written.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        content = tomllib.loads(lines)
        texts = {name: str(value) for name, value in content.items()}
    except OSError as error:
        words = f"the settings file {str(path)!r} cannot be read: {unreadable(error)}"
        return SettingsFile(path, fault=SettingsError(words))
    except UnicodeDecodeError as error:
        line = written.count(b"\n", 0, error.start) + 1
        return _no_toml(path, f"line {line} holds bytes that are not UTF-8; save it as UTF-8")
    except (ValueError, RecursionError) as error:
        # The error's text is a position ("at line 3, column 9"), never the line itself.
        return _no_toml(path, f"{error}; texts stand in quotes, and each name once")
    wrong = {name: fault for name, value in content.items() if (fault := _fault_of(name, value))}
    for name in wrong:
        del texts[name]
    exposed = [
        name
        for name, value in texts.items()
        if name in BY_NAME and (exposes := BY_NAME[name].exposes) is not None and exposes(value)
    ]
    return SettingsFile(
        path,
        texts,
        exposed if is_public(status) else [],
        next((SettingsError(words.format(file=repr(str(path)))) for words in wrong.values()), None),
    )


def nearest(name: str) -> str | None:
    """Return the setting with the most similar name, with or without SYNCJOB_; None if none is."""
    # Every setting begins with the prefix, so a match of it alone must not count.
    for form, cutoff in ((name.upper(), 0.6), (f"SYNCJOB_{name.upper()}", 0.85)):
        near = difflib.get_close_matches(form, SETTING_NAMES, n=1, cutoff=cutoff)
        if near:
            return near[0]
    return None


def _no_toml(path: Path, why: str) -> SettingsFile:
    words = f"the settings file {str(path)!r} is not TOML: {why}"
    return SettingsFile(path, fault=SettingsError(words))


def _fault_of(name: str, value: object) -> str | None:
    """Return what is wrong with a key and value, with `{file}` for the path; None if nothing is."""
    if name not in SETTING_NAMES and _is_section(value):
        shown = f"[{name}]" if name.isprintable() and name.isascii() else repr(name)
        shown = shown.replace("{", "{{").replace("}", "}}")
        return (
            f"the settings file {{file}} has the section {shown}; it has no sections and no dotted "
            'names: each setting stands by itself, as in SYNCJOB_LANG = "en"'
        )
    if name not in SETTING_NAMES:
        near = nearest(name)
        hint = f"did you mean {near}?" if near else "docs/manual/settings.md lists the settings"
        shown = repr(name).replace("{", "{{").replace("}", "}}")
        return f"the settings file {{file}} has {shown}; {hint}"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        kind = next((words for kind, words in KINDS if isinstance(value, kind)), "value")
        kind = kind if kind.startswith("true") else f"a {kind}"
        return f"{name} in the settings file {{file}} is {kind}; expected a text or a number"
    return None


def _is_section(value: object) -> bool:
    """Tell whether the value came from `[name]`, `[[name]]` or `name.other = …`."""
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    )
