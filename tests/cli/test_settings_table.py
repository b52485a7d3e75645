"""The table of settings: what is derived from its rows."""

import dataclasses

import pytest

from syncjob.config import AccountSettings, Secret, Settings, SettingsReader
from syncjob.config.environment import without_secrets
from syncjob.config.rendering import Language, manual_cells
from syncjob.config.settings import OF_ACCOUNT, OF_NOTICES, SETTINGS, SHARED
from syncjob.config.simulated import REACHES_OTHERS
from syncjob.config.table import Setting
from tests.cli.test_config import job


def test_every_field_but_two_is_a_row() -> None:
    """The fields that no row stands at come from the environment in another way."""
    assert {field.name for field in dataclasses.fields(AccountSettings)} == OF_ACCOUNT.keys()
    others = {field.name for field in dataclasses.fields(Settings)} - SHARED.keys()
    assert others == {"account", "only_account"}
    assert len(SETTINGS) == len(OF_ACCOUNT) + len(SHARED) + len(OF_NOTICES)
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_a_default_is_a_text_that_its_own_parser_takes(row: Setting) -> None:
    """The settings file shows it, and with it in force nothing changes."""
    if row.default is not None:
        row.parse(row.default)


def test_accounts_may_differ_in_what_is_not_shared() -> None:
    """One process holds the settings of two accounts side by side."""
    first = job(SYNCJOB_DATABASE_URL="sqlite:///a.db", SYNCJOB_CONCURRENCY="4")
    second = dataclasses.replace(first, account=job(SYNCJOB_APPID="wx1", SYNCJOB_LANG="en").account)
    assert (first.account.lang, second.account.lang) == ("zh_CN", "en")
    assert second.concurrency == first.concurrency == 4


def test_no_secret_reaches_the_command_of_a_notice() -> None:
    """Nor the name of its file; what is no secret does."""
    environ = {name: "x" for row in SETTINGS for name in (row.name, f"{row.name}_FILE")}
    left = without_secrets({**environ, "PATH": "/bin"})
    assert left.keys() == {"PATH"} | {
        name
        for name in environ
        for row in SETTINGS
        if name in (row.name, f"{row.name}_FILE") and not row.secret
    }
    assert "SYNCJOB_APPSECRET" not in left
    assert "SYNCJOB_TOKEN_COMMAND" not in left


def test_a_rehearsal_leaves_out_what_reaches_others() -> None:
    """Metrics and notices of the real job, in either form."""
    assert {
        "SYNCJOB_METRICS_FILE",
        "SYNCJOB_ON_FAILURE",
        "SYNCJOB_WEBHOOK_URL",
        "SYNCJOB_WEBHOOK_URL_FILE",
    } == REACHES_OTHERS


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_manuals_table_has_a_row_for_each_setting(language: Language) -> None:
    """With its default, its help in that language, and a link where there is one."""
    links = {row.see: f"[{row.see}]({row.see}.md)" for row in SETTINGS if row.see}
    meanings = ""
    for row in SETTINGS:
        name, default, meaning = manual_cells(row, language, links)
        assert name.startswith(f"`{row.name}`")
        assert ("…_FILE" in name) is row.has_file
        assert default == (f"`{row.default}`" if row.default else "–")
        assert (row.help_en if language == "en" else row.help_zh) in meaning
        assert (f"({row.see}.md)" in meaning) is bool(row.see)
        assert "|" not in meaning
        meanings += meaning
    assert ("for `url`: " if language == "en" else "用于 `url`：") in meanings


def test_a_secret_that_its_parser_refuses_is_not_shown() -> None:
    """Whatever a parser raises, the text of a secret stays out of the message."""

    def refuse(text: str) -> Secret:
        raise ValueError("something else")

    row = dataclasses.replace(SHARED["database_url"], parse=refuse)
    reader = SettingsReader({"SYNCJOB_DATABASE_URL": "postgresql://me:hunter2@db/crm"})
    with pytest.raises(Exception, match="is not shown; expected something else") as caught:
        reader.values.read(row)
    assert "hunter2" not in str(caught.value)
