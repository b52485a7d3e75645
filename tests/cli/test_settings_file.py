"""The TOML file that may hold the settings, and who wins where the environment speaks too."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncjob.config import Secret, SettingsReader, open_settings
from syncjob.config.file import read_settings_file
from syncjob.config.settings import SETTING_NAMES
from syncjob.errors import SettingsError


def refused(content: str | bytes) -> str:
    """Return the one line in which a file with this content is refused."""
    path = Path("job.toml")
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    fault = read_settings_file(path).fault
    assert isinstance(fault, SettingsError)
    words = str(fault)
    assert words.isprintable(), words
    assert "'job.toml'" in words
    assert "hunter2" not in words
    return words


def test_a_file_holds_every_setting_under_its_own_name() -> None:
    """The keys of the file are the names of the variables; numbers may stand without quotes."""
    Path("job.toml").write_text(
        """
# the nightly job
SYNCJOB_DATABASE_URL = "postgresql://me:pw@db/crm"
SYNCJOB_APPID = "wx1"
SYNCJOB_APPSECRET = 's3"cret'
SYNCJOB_API_URL = "http://127.0.0.1:8080"
SYNCJOB_TOKEN_SOURCE = "classic"
SYNCJOB_LANG = "en"
SYNCJOB_BATCH_SIZE = 50
SYNCJOB_SWEEP_EVERY = "6h"
SYNCJOB_TIMEOUT = 2.5
""",
        "utf-8-sig",  # as some editors of Windows write it
    )
    read = open_settings("job.toml").job()
    assert read.database_url == Secret("postgresql://me:pw@db/crm")
    assert read.account.appsecret == Secret('s3"cret')
    assert (read.account.appid, read.api_url) == ("wx1", "http://127.0.0.1:8080")
    assert (read.account.token_source, read.account.lang) == ("classic", "en")
    assert (read.batch_size, read.timeout) == (50, 2.5)
    assert read.account.sweep_every is not None
    assert read.account.sweep_every.total_seconds() == 6 * 3600


@pytest.mark.parametrize("name", sorted(SETTING_NAMES))
def test_every_setting_is_a_key(name: str) -> None:
    """No variable is missing among the keys of the file."""
    Path("job.toml").write_text(f"{name} = 'x'")
    assert read_settings_file(Path("job.toml")).texts == {name: "x"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("true", "true or false"),
        ("[1]", "a list"),
        ("{a = 1}", "a table"),
        ("2025-01-01", "a date"),
        ("2025-01-01T10:00:00", "a date and time"),
        ("10:00:00", "a time of day"),
    ],
)
def test_a_value_that_is_no_text_and_no_number_is_refused(value: str, kind: str) -> None:
    """The key, the file and the kind of value that was found are named."""
    assert refused(f"SYNCJOB_BATCH_SIZE = {value}") == (
        f"SYNCJOB_BATCH_SIZE in the settings file 'job.toml' is {kind}; expected a text or a number"
    )


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("SYNCJOB_APPSECERT", "did you mean SYNCJOB_APPSECRET?"),
        ("syncjob_appid", "did you mean SYNCJOB_APPID?"),
        ("APPSECRET", "did you mean SYNCJOB_APPSECRET?"),
        ("SYNCJOB_BATCHSIZE", "did you mean SYNCJOB_BATCH_SIZE?"),
        ("colour", "docs/manual/settings.md lists the settings"),
    ],
)
def test_a_key_that_is_no_setting_is_refused(key: str, hint: str) -> None:
    """A misspelt key is not passed over: it is named, with the setting that may be meant."""
    assert refused(f"{key} = 'hunter2'") == f"the settings file 'job.toml' has {key!r}; {hint}"


@pytest.mark.parametrize(
    "content",
    [
        "hunter2",
        "SYNCJOB_APPSECRET = hunter2",
        "SYNCJOB_APPSECRET = 'hunter2",
        'SYNCJOB_APPSECRET = "\\hunter2"',
        "SYNCJOB_APPSECRET = 'hunter2'\nSYNCJOB_APPSECRET = 'hunter2'",
        b"SYNCJOB_APPSECRET = 'hunter2\xff'",
        b"SYNCJOB_APPSECRET = 'hunter2\0'",
        b"\x89PNG\r\n\x1a\n",
        "SYNCJOB_TIMEOUT = " + "9" * 5000,
        "SYNCJOB_TIMEOUT = 0x" + "f" * 5000,
        "SYNCJOB_TIMEOUT = " + "[" * 5000,
    ],
    ids=range(11),
)
def test_a_file_that_is_no_toml_is_refused(content: str | bytes) -> None:
    """What is wrong is said by its place in the file, without quoting the line."""
    assert refused(content).startswith("the settings file 'job.toml' is not TOML: ")


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_no_content_raises_anything_but_a_settings_error(content: bytes) -> None:
    """Any file is either settings or refused in one line."""
    Path("job.toml").write_bytes(content)
    found = read_settings_file(Path("job.toml"))
    assert found.texts.keys() <= SETTING_NAMES
    assert found.fault is None or str(found.fault).isprintable()


@pytest.mark.parametrize(
    ("path", "reason"), [("none.toml", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    """A file that is named must be there, whether an option or SYNCJOB_CONFIG names it."""
    words = f"the settings file {path!r} cannot be read: {reason}"
    with pytest.raises(SettingsError, match=words):
        open_settings(path)
    monkeypatch.setenv("SYNCJOB_CONFIG", path)
    with pytest.raises(SettingsError, match=words):
        open_settings()


def test_the_environment_wins_over_the_file() -> None:
    """A variable hides the file's key; an empty variable hides nothing."""
    file = {"SYNCJOB_APPID": "wx_file", "SYNCJOB_LANG": "en", "SYNCJOB_TIMEOUT": ""}
    environ = {"SYNCJOB_APPID": "wx_env", "SYNCJOB_LANG": "", "SYNCJOB_APPSECRET": "s"}
    read = SettingsReader(environ, file).job()
    assert (read.account.appid, read.account.lang, read.timeout) == ("wx_env", "en", 30.0)


@pytest.mark.parametrize("name", ["SYNCJOB_APPSECRET", "SYNCJOB_APPSECRET_FILE"])
@pytest.mark.parametrize("other", ["SYNCJOB_APPSECRET", "SYNCJOB_APPSECRET_FILE"])
def test_either_form_of_a_secret_hides_both_of_the_files(
    tmp_path: Path, name: str, other: str
) -> None:
    """A secret of the environment wins over the file's, in whichever of the two forms each is."""
    texts = {"SYNCJOB_APPSECRET": "{}", "SYNCJOB_APPSECRET_FILE": str(tmp_path / "{}")}
    for word in ("mine", "yours"):
        (tmp_path / word).write_text(word)
        (tmp_path / word).chmod(0o600)
    environ = {"SYNCJOB_APPID": "wx1", name: texts[name].format("mine")}
    for file in ({other: texts[other].format("yours")}, {**texts}):
        assert SettingsReader(environ, file).job().account.appsecret == Secret("mine")


def test_both_forms_in_one_file_are_refused() -> None:
    """Within the file, too, a secret stands in one place."""
    file = {"SYNCJOB_APPSECRET": "a", "SYNCJOB_APPSECRET_FILE": "b"}
    with pytest.raises(SettingsError, match="are both set"):
        SettingsReader({"SYNCJOB_APPID": "wx1"}, file).job()


@pytest.mark.parametrize(
    ("line", "is_secret"),
    [
        ('SYNCJOB_APPSECRET = "0123456789abcdef0123456789abcdef"', True),
        ('SYNCJOB_ACCESS_TOKEN = "60_abc"', True),
        ('SYNCJOB_DATABASE_URL = "postgresql://syncjob:hunter2@db/crm"', True),
        ('SYNCJOB_DATABASE_URL = "postgresql://db/crm?user=syncjob&password=hunter2"', True),
        ('SYNCJOB_TOKEN_URL = "https://tokens.example/?key=hunter2"', True),
        ('SYNCJOB_TOKEN_URL = "https://me:hunter2@tokens.example/"', True),
        ('SYNCJOB_TOKEN_URL = "https://tokens.example/"', False),
        ('SYNCJOB_WEBHOOK_URL = "https://open.feishu.cn/open-apis/bot/v2/hook/hunter2"', True),
        ('SYNCJOB_WEBHOOK_URL_FILE = "/etc/syncjob/webhook-url"', False),
        ('SYNCJOB_DATABASE_URL = "postgresql://syncjob@db/crm"', False),
        ('SYNCJOB_DATABASE_URL = "sqlite:////var/lib/syncjob/a:b@c.db"', False),
        ('SYNCJOB_APPSECRET_FILE = "/etc/syncjob/appsecret"', False),
        ('SYNCJOB_APPSECRET = ""', False),
    ],
)
def test_with_v_a_world_readable_secret_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, is_secret: bool
) -> None:
    """The line says what to run, and not what the secret is; other files may be open."""
    caplog.set_level(logging.INFO, logger="syncjob")
    path = tmp_path / "syncjob.toml"
    path.write_text(line)
    path.chmod(0o640)
    open_settings(str(path))
    assert caplog.text == ""
    path.chmod(0o644)
    open_settings(str(path))
    assert (f"run: chmod o= {path}" in caplog.text) is is_secret
    assert "hunter2" not in caplog.text


# --- files as editors and people leave them ------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "section"),
    [
        ("[syncjob]\nSYNCJOB_APPID = 'wx1'", "[syncjob]"),
        ("[SYNCJOB]\nAPPID = 'wx1'", "[SYNCJOB]"),
        ("[[syncjob]]\nSYNCJOB_APPID = 'wx1'", "[syncjob]"),
        ("[tool.syncjob]\nSYNCJOB_APPID = 'wx1'", "[tool]"),
        ("syncjob.appid = 'wx1'", "[syncjob]"),
        ("['公众号 {0}']\nSYNCJOB_APPID = 'wx1'", "'公众号 {0}'"),
    ],
)
def test_a_section_is_refused_as_one(content: str, section: str) -> None:
    """The line says that there are none, and what to write in its place."""
    words = refused(content)
    assert f"has the section {section}; it has no sections" in words
    assert 'SYNCJOB_LANG = "en"' in words


def test_a_known_name_as_a_section_is_a_table() -> None:
    """A setting that was made a section of is named as such."""
    assert "SYNCJOB_LANG in the settings file 'job.toml' is a table" in refused(
        "[SYNCJOB_LANG]\na = 1"
    )


@pytest.mark.parametrize("encoding", ["gbk", "latin-1", "utf-16"])
def test_a_file_in_another_encoding_is_refused_in_words(encoding: str) -> None:
    """Whatever an editor of Windows has saved it as."""
    text = "# \xd7\n" if encoding == "latin-1" else "# 公众号\n"
    words = refused(text.encode(encoding) + b"SYNCJOB_LANG = 'en'")
    assert "line 1 holds bytes that are not UTF-8; save it as UTF-8" in words


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_mark_before_the_text_do_not_count(line_end: str, mark: str) -> None:
    """Of every system that there is, and was."""
    content = mark + line_end.join(["# a", "SYNCJOB_LANG = 'en'", "SYNCJOB_APPID = 'wx1'", ""])
    Path("job.toml").write_bytes(content.encode())
    found = read_settings_file(Path("job.toml"))
    assert found.fault is None
    assert found.texts == {"SYNCJOB_LANG": "en", "SYNCJOB_APPID": "wx1"}


def test_a_file_that_never_ends_is_refused() -> None:
    """A device is no settings file."""
    fault = read_settings_file(Path("/dev/zero")).fault
    assert "longer than a settings file can be" in str(fault)


@pytest.mark.parametrize(
    ("key", "near"),
    [("appid", "APPID"), ("lang", "LANG"), ("APP_SECRET", "APPSECRET"), ("api-url", "API_URL")],
)
def test_the_nearest_name_is_found_without_the_prefix(key: str, near: str) -> None:
    """A name without SYNCJOB_ gets an error with the whole name."""
    assert refused(f"{key} = 'x'").endswith(f"has {key!r}; did you mean SYNCJOB_{near}?")
