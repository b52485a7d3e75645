"""The TOML file that may hold the settings: the same keys as the environment, and no others."""

import datetime
import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from syncjob.config.secrets import is_public, unreadable
from syncjob.config.settings import BY_NAME, SETTING_NAMES
from syncjob.errors import SettingsError

LONGEST_FILE = 1 << 20  # bytes; what is longer is no settings file, and /dev/zero never ends
# A date is no instance of datetime, but a datetime is one of date: the narrower goes first.
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

    `texts` are the settings in it that are right, `exposed` the secrets among them that everybody
    on this machine can read, `fault` is what is wrong with the file, if anything is. A file that
    nobody named and this user may not read is `denied`; that is no fault by itself.
    """

    path: Path
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    exposed: list[str] = field(default_factory=list)
    fault: SettingsError | None = None
    denied: bool = False


def read_settings_file(path: Path) -> SettingsFile:
    """Read the file as far as that can be done."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            written = file.read(LONGEST_FILE + 1)
        if len(written) > LONGEST_FILE:
            return _no_toml(path, "it is longer than a settings file can be")
        # As a text file is read: some editors end lines with CR LF, or with CR alone.
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
        # The text of such an error is a place ("at line 3, column 9"), never the line itself.
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
    """Return the setting that a name is most like, with or without SYNCJOB_ before it; or None."""
    # What the prefix has in common with every setting counts for nothing.
    for form, cutoff in ((name.upper(), 0.6), (f"SYNCJOB_{name.upper()}", 0.85)):
        near = difflib.get_close_matches(form, SETTING_NAMES, n=1, cutoff=cutoff)
        if near:
            return near[0]
    return None


def _no_toml(path: Path, why: str) -> SettingsFile:
    words = f"the settings file {str(path)!r} is not TOML: {why}"
    return SettingsFile(path, fault=SettingsError(words))


def _fault_of(name: str, value: object) -> str | None:
    """Say what is wrong with a line, of a file that is still to be named."""
    if name not in SETTING_NAMES and _is_section(value):
        shown = f"[{name}]" if name.isprintable() and name.isascii() else repr(name)
        shown = shown.replace("{", "{{").replace("}", "}}")
        return (
            f"the settings file {{file}} has the section {shown}; it has no sections and no dotted "
            'names: each setting stands by itself, as in SYNCJOB_LANG = "en"'
        )
    if name not in SETTING_NAMES:
        near = nearest(name)
        hint = f"did you mean {near}?" if near else "the README lists the settings"
        shown = repr(name).replace("{", "{{").replace("}", "}}")
        return f"the settings file {{file}} has {shown}; {hint}"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        kind = next((words for kind, words in KINDS if isinstance(value, kind)), "value")
        kind = kind if kind.startswith("true") else f"a {kind}"
        return f"{name} in the settings file {{file}} is {kind}; expected a text or a number"
    return None


def _is_section(value: object) -> bool:
    """Tell whether that is `[name]`, `[[name]]` or `name.other = …`."""
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    )
