"""The table of settings as a settings file to begin with, and as cells of the manual."""

import textwrap
from collections.abc import Mapping
from typing import Literal

from syncjob.config.settings import SETTINGS
from syncjob.config.table import SECTIONS, Setting

WIDTH = 96
HEAD = """\
# Settings of syncjob. Each line here may also be a variable of the environment of the same name,
# which wins. What is commented out shows its default, or an example. The manual says more of each.
"""

Language = Literal["en", "zh"]
OR_FILE = {"en": " (or `…_FILE`)", "zh": "（或 `…_FILE`）"}
ONLY_FOR = {"en": ("for {}: ", ", "), "zh": ("用于 {}：", "、")}
SEE = {"en": "; see {}", "zh": "；见{}"}


def settings_file() -> str:
    """Return a settings file with every setting, explained, that says what is so without it."""
    parts = [HEAD]
    for section, heading in SECTIONS.items():
        parts.append(f"# --- {heading} ".ljust(WIDTH, "-") + "\n")
        rows = [row for row in SETTINGS if row.section == section]
        parts += [f"{_entry(row)}\n" for row in rows]
    return "\n".join(parts)


def manual_cells(row: Setting, language: Language, links: Mapping[str, str]) -> list[str]:
    """Return the cells of a setting in the manual's table: name, default, meaning.

    `links` are Markdown, by the subject that a row's `see` names.
    """
    name = f"`{row.name}`" + (OR_FILE[language] if row.has_file else "")
    default = f"`{row.default}`" if row.default else "–"
    see = SEE[language].format(links[row.see]) if row.see else ""
    return [name, default, _help(row, language) + see]


def _help(row: Setting, language: Language) -> str:
    text = row.help_en if language == "en" else row.help_zh
    if not row.only_for:
        return text
    condition, comma = ONLY_FOR[language]
    return condition.format(comma.join(f"`{name}`" for name in row.only_for)) + text


def _entry(row: Setting) -> str:
    """Return what the settings file says of a setting: comments, and a line to fill in or out."""
    text = _help(row, "en")  # one that begins with code keeps its small letter
    text = f"{text[0].upper()}{text[1:]}.".replace("`", "")
    lines = textwrap.wrap(text, WIDTH - 2, break_on_hyphens=False)
    entry = [f"# {line}" for line in (*lines, *row.note.splitlines())]
    if row.has_file:
        entry.append(f'# {row.name}_FILE = "{row.file_example}"')
    if row.example:
        entry.append(f'# {row.name} = "{row.example}"')
    if row.section == "needed":
        entry.append(f'{row.name} = "{row.default_text}"')
    elif not row.example:
        entry.append(f'# {row.name} = "{row.default_text}"')
    return "\n".join(entry)
