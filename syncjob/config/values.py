"""Merges the texts of environment and file, and reads single settings from them."""

import difflib
from collections.abc import Mapping
from typing import Any

from syncjob.config.quoting import fault_of, oddity_of, quoting_fault_of, stripped, unquoted
from syncjob.config.secrets import read_secret_file
from syncjob.config.settings import BY_NAME, SETTING_NAMES, SETTINGS
from syncjob.config.table import Setting
from syncjob.errors import SettingsError

TOKEN_SOURCE = BY_NAME["SYNCJOB_TOKEN_SOURCE"]
COMMANDS = frozenset(row.name for row in SETTINGS if row.is_command)


class Values:
    """The texts of settings by name; a blank text counts as not set.

    Surrounding quotation marks are stripped. A variable of the environment wins over the file, and
    NAME and NAME_FILE are two forms of one setting: either variable hides both in the file.
    Reading raises SettingsError: one line with the setting's name, what was found (never a secret)
    and what is expected. `hidden` are the settings of the file that the environment overrides,
    `quoted` those that were in quotation marks; `absence` says why a setting is in no file.
    """

    def __init__(
        self, environ: Mapping[str, str], file: Mapping[str, str], *, absence: str
    ) -> None:
        given, kept = _cleaned(environ), _cleaned(file)
        self.absence = absence
        said = {name.removesuffix("_FILE") for name in given}
        self.hidden = sorted(
            name
            for name, value in kept.items()
            if name.removesuffix("_FILE") in said and given.get(name) != value
        )
        self._values = given | {
            name: value for name, value in kept.items() if name.removesuffix("_FILE") not in said
        }
        self.quoted = sorted(
            name
            for name, value in {**file, **environ}.items()
            if name in SETTING_NAMES.difference(COMMANDS)
            and self._values.get(name) == unquoted(value) != stripped(value)
        )

    def undecodable(self) -> list[SettingsError]:
        """Return a fault for each setting that holds bytes that are not UTF-8, or NUL."""
        return [
            SettingsError(f"{name} {fault}")
            for name in sorted(SETTING_NAMES & self._values.keys())
            if (fault := fault_of(self._values[name])) is not None
        ]

    @property
    def token_source(self) -> str:
        """Return the text of SYNCJOB_TOKEN_SOURCE or its default; it may be invalid."""
        return self._values.get(TOKEN_SOURCE.name, TOKEN_SOURCE.default_text)

    @property
    def given(self) -> frozenset[str]:
        """Return the names of all variables and keys that are not blank, settings or not."""
        return frozenset(self._values)

    def names(self, name: str) -> bool:
        """Tell whether a setting was given, by itself or as a file."""
        return name in self._values or f"{name}_FILE" in self._values

    def read(self, setting: Setting, *, required: bool = True) -> Any:
        """Return the value of a setting; the file of a secret is read each time.

        Unless `required`, one that is not set is no error.
        """
        if setting.only_for and self.token_source not in setting.only_for:
            return setting.unset
        text = self._secret(setting.name) if setting.has_file else self._text(setting.name)
        text = text or setting.default
        value = setting.unset if text is None else self._parsed(setting, text)
        if required and setting.expected and value == setting.unset:
            or_file = f" (or {setting.name}_FILE)" if setting.has_file else ""
            raise self.missing(setting.name + or_file, setting.expected)
        return value

    def missing(self, name: str, expected: str) -> SettingsError:
        """Return the error for a setting that is not set; it names what may be a misspelling."""
        others = {other.upper(): other for other in self._values if other not in SETTING_NAMES}
        near = difflib.get_close_matches(name.split()[0], others, n=1, cutoff=0.8)
        hint = f" (did you mean it by {_shown(others[near[0]])}?)" if near else ""
        return SettingsError(f"{name} is not set; expected {expected}; {self.absence}{hint}")

    def _text(self, name: str) -> str | None:
        """Return the text of a setting, None if it is not set."""
        value = self._values.get(name)
        if value is None:
            return None
        fault = fault_of(value) or (None if name in COMMANDS else quoting_fault_of(value))
        if fault is not None:
            raise SettingsError(f"{name} {fault}")
        return value

    def _parsed(self, setting: Setting, text: str) -> Any:
        try:
            return setting.parse(text)
        except ValueError as error:
            shown = "not shown" if setting.secret else f"{text!r}{oddity_of(text)}"
            raise SettingsError(f"{setting.name} is {shown}; expected {error}") from None

    def _secret(self, name: str) -> str | None:
        """Return the text of `NAME`, or the content of the file that `NAME_FILE` names."""
        value, path = self._text(name), self._text(f"{name}_FILE")
        if value and path:
            raise SettingsError(f"{name} and {name}_FILE are both set; expected only one of them")
        if path:
            value = unquoted(read_secret_file(f"{name}_FILE", path))
            if quoting_fault_of(value) is not None:
                raise SettingsError(
                    f"{name}_FILE names {path!r}, which has a quotation mark at one end only; "
                    "take it out"
                )
        if value and not value.isprintable():
            raise SettingsError(
                f"{name} holds a line break or a control character; check its quoting"
            )
        return value or None


def _cleaned(values: Mapping[str, str]) -> dict[str, str]:
    cleaned = {
        name: stripped(value) if name in COMMANDS else unquoted(value)
        for name, value in values.items()
    }
    return {name: value for name, value in cleaned.items() if value}


def _shown(name: str) -> str:
    """Return the name with invisible characters escaped."""
    return name if name.isascii() and name.isprintable() else ascii(name)
