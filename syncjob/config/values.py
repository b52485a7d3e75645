"""The values of an environment and of a file, one by one, each with what is wrong with it."""

import difflib
import shlex
import shutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from syncjob.config.file import SETTING_NAMES
from syncjob.config.secrets import Secret, read_secret_file
from syncjob.config.texts import fault_of, oddity_of, quoting_fault_of, stripped, unquoted
from syncjob.errors import SettingsError

T = TypeVar("T")

# Split as a shell would: quotation marks in them are the operator's own.
COMMANDS = ("SYNCJOB_TOKEN_COMMAND", "SYNCJOB_ON_FAILURE")


class Values:
    """Texts by the name of their setting; blank is not set.

    Quotation marks around a text are left out, since files of variables keep them. A variable of
    the environment wins over the file's, and NAME and NAME_FILE are two ways to say one thing:
    either of them hides both of the file's. Whatever reads one raises SettingsError: one line that
    names the setting, what was found (never a secret) and what is expected. `hidden` are the names
    of the file's that the environment says otherwise, `quoted` those that stood in quotation marks;
    `absence` says why a setting is in no file.
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

    # --- forms ----------------------------------------------------------------------------

    def _text(self, name: str) -> str | None:
        """Return the text of a setting as it stands, None if it is not set."""
        value = self._values.get(name)
        if value is None:
            return None
        fault = fault_of(value) or (None if name in COMMANDS else quoting_fault_of(value))
        if fault is not None:
            raise SettingsError(f"{name} {fault}")
        return value

    def _one_of(self, name: str, choices: tuple[str, ...], default: str) -> Any:
        value = self._text(name) or default
        if value not in choices:
            raise SettingsError(
                f"{name} is {value!r}{oddity_of(value)}; expected one of {', '.join(choices)}"
            )
        return value

    def _words(self, name: str) -> tuple[str, ...]:
        """Read a command, split as a shell would; no words if it is not set."""
        command = self._text(name) or ""
        try:
            words = tuple(shlex.split(command))
            # The whole command in quotation marks, as `docker --env-file` leaves them.
            if len(words) == 1 and " " in words[0] and shutil.which(words[0]) is None:
                words = tuple(shlex.split(words[0]))
            return words
        except ValueError as error:
            raise SettingsError(
                f"{name} cannot be split into words ({error}); quote it as for a shell"
            ) from None

    def _parsed(self, name: str, parse: Callable[[str], T], default: str) -> T:
        value = self._text(name) or default
        try:
            return parse(value)
        except ValueError as error:
            raise SettingsError(
                f"{name} is {value!r}{oddity_of(value)}; expected {error}"
            ) from None

    def _needed_secret(self, name: str, meaning: str, needed: bool) -> Secret:
        if not needed:
            return Secret("")
        secret = self._secret(name)
        if secret is None:
            raise self._missing(f"{name} (or {name}_FILE)", meaning)
        # Neither an AppSecret nor a token has such characters; a URL with a password may.
        if " " in secret.reveal():
            raise SettingsError(f"{name} holds a blank inside; expected {meaning} and nothing else")
        if not secret.reveal().isascii():
            raise SettingsError(
                f"{name} holds characters that are not ASCII (full-width ones, typographic "
                f"quotation marks?); expected {meaning}"
            )
        return secret

    def _secret(self, name: str) -> Secret | None:
        """Read `NAME`, or the file that `NAME_FILE` names, without the blanks around it."""
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
        return Secret(value) if value else None

    def _missing(self, name: str, meaning: str) -> SettingsError:
        others = {other.upper(): other for other in self._values if other not in SETTING_NAMES}
        near = difflib.get_close_matches(name.split()[0], others, n=1, cutoff=0.8)
        hint = f" (did you mean it by {_shown(others[near[0]])}?)" if near else ""
        return SettingsError(f"{name} is not set; expected {meaning}; {self.absence}{hint}")


def _cleaned(values: Mapping[str, str]) -> dict[str, str]:
    cleaned = {
        name: stripped(value) if name in COMMANDS else unquoted(value)
        for name, value in values.items()
    }
    return {name: value for name, value in cleaned.items() if value}


def _shown(name: str) -> str:
    """Show a name in which there may be what cannot be seen."""
    return name if name.isascii() and name.isprintable() else ascii(name)
