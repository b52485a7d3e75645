"""What one row of the table of settings says. The table itself is in settings.py."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal

# In the order of the settings file and of the manual, each with its heading in the settings file.
SECTIONS = {
    "needed": "what you must fill in",
    "sweeps": "how often, how much",
    "trust": "when to believe the list",
    "token": "where the token comes from",
    "notices": "messages when runs fail, and when they succeed again",
    "metrics": "metrics",
    "retention": "what is kept",
    "rest": "the rest",
}
Section = Literal["needed", "sweeps", "trust", "token", "notices", "metrics", "retention", "rest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. Its type is that of the dataclass field that it stands at.

    `parse` gets a text that is not blank. It raises ValueError with what is expected, or
    SettingsError with the whole message. `default` is a text as well.

    `expected` says what is missing where a required setting is not set; empty: it is optional.
    `only_for` names the values of SYNCJOB_TOKEN_SOURCE with which it is read; empty: always. Where
    it is not read, or not set and without a default, its value is `unset`.

    `exposes` tells whether a text of it holds a secret; None: it never can. `has_file`: it may also
    be given as NAME_FILE. `is_command`: quotation marks in it belong to the operator.
    `reaches_others`: a rehearsal must not use the real job's.

    `help_en` and `help_zh` are Markdown without links; `see` names the subject of the manual that
    says more. `example`, `file_example` and `note` are for the settings file of `syncjob init`.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | None = None
    section: Section
    help_en: str
    help_zh: str
    see: str = ""
    expected: str = ""
    only_for: tuple[str, ...] = ()
    unset: Any = None
    exposes: Callable[[str], bool] | None = None
    has_file: bool = False
    is_command: bool = False
    reaches_others: bool = False
    example: str = ""
    file_example: str = ""
    note: str = ""

    @property
    def secret(self) -> bool:
        """Tell whether a text of it may hold a secret, so that it is never shown."""
        return self.exposes is not None

    @property
    def default_text(self) -> str:
        """Return the default as it is written in a settings file, empty if there is none."""
        return self.default or ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names by which it can be given."""
        return (self.name, f"{self.name}_FILE") if self.has_file else (self.name,)


def setting(name: str, parse: Callable[[str], Any], default: str | None = None, **row: Any) -> Any:
    """Return a dataclass field that is read from the setting; one that is secret has no repr."""
    made = Setting(name=name, parse=parse, default=default, **row)
    return field(metadata={"setting": made}, repr=not made.secret)


def rows_of(record: type) -> dict[str, Setting]:
    """Return the settings among the fields of a dataclass, by attribute."""
    return {
        one.name: one.metadata["setting"] for one in fields(record) if "setting" in one.metadata
    }
