"""The values of an environment and of a file, one by one, each with what is wrong with it."""

import difflib
import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from syncjob.config.file import SETTING_NAMES
from syncjob.config.secrets import Secret, read_secret_file
from syncjob.errors import SettingsError

T = TypeVar("T")


class Values:
    """Texts by the name of their setting; blank is not set.

    A variable of the environment wins over the file's, and NAME and NAME_FILE are two ways to say
    one thing: either of them hides both of the file's. Whatever reads one raises SettingsError: one
    line that names the setting, what was found (never a secret) and what is expected. `hidden` are
    the names of the file's that the environment says otherwise.
    """

    def __init__(self, environ: Mapping[str, str], file: Mapping[str, str]) -> None:
        given, kept = _without_blanks(environ), _without_blanks(file)
        said = {name.removesuffix("_FILE") for name in given}
        self.hidden = sorted(
            name
            for name, value in kept.items()
            if name.removesuffix("_FILE") in said and given.get(name) != value
        )
        self._values = given | {
            name: value for name, value in kept.items() if name.removesuffix("_FILE") not in said
        }

    # --- forms ----------------------------------------------------------------------------

    def _one_of(self, name: str, choices: tuple[str, ...], default: str) -> Any:
        value = self._values.get(name, default)
        if value not in choices:
            raise SettingsError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
        return value

    def _words(self, name: str) -> tuple[str, ...]:
        """Read a command, split as a shell would; no words if it is not set."""
        command = self._values.get(name, "")
        if "\0" in command:
            raise SettingsError(f"{name} holds a NUL character; expected a command to run")
        try:
            return tuple(shlex.split(command))
        except ValueError as error:
            raise SettingsError(
                f"{name} cannot be split into words ({error}); quote it as for a shell"
            ) from None

    def _parsed(self, name: str, parse: Callable[[str], T], default: str) -> T:
        value = self._values.get(name, default)
        try:
            return parse(value)
        except ValueError as error:
            raise SettingsError(f"{name} is {value!r}; expected {error}") from None

    def _needed_secret(self, name: str, meaning: str, needed: bool) -> Secret:
        if not needed:
            return Secret("")
        secret = self._secret(name)
        if secret is None:
            raise self._missing(f"{name} (or {name}_FILE)", meaning)
        return secret

    def _secret(self, name: str) -> Secret | None:
        """Read `NAME`, or the file that `NAME_FILE` names, without the blanks around it."""
        value, path = self._values.get(name), self._values.get(f"{name}_FILE")
        if value and path:
            raise SettingsError(f"{name} and {name}_FILE are both set; expected only one of them")
        if path:
            value = read_secret_file(f"{name}_FILE", path)
        if value and not value.isprintable():
            raise SettingsError(
                f"{name} holds a line break or a control character; check its quoting"
            )
        return Secret(value) if value else None

    def _missing(self, name: str, meaning: str) -> SettingsError:
        others = {other.upper(): other for other in self._values if other not in SETTING_NAMES}
        near = difflib.get_close_matches(name.split()[0], others, n=1, cutoff=0.8)
        hint = f" (did you mean it by {others[near[0]]}?)" if near else ""
        return SettingsError(f"{name} is not set; expected {meaning}{hint}")


def _without_blanks(values: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, value in values.items() if (text := value.strip())}
