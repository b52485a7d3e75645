"""Settings: each name's default and forms, what is refused, and what is never shown."""

import re
from datetime import timedelta
from pathlib import Path
from typing import get_type_hints

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from syncjob.config import (
    AccountSettings,
    DatabaseSettings,
    Secret,
    Settings,
    SettingsReader,
    open_settings,
)
from syncjob.config.settings import OF_ACCOUNT, SETTING_NAMES
from syncjob.errors import SettingsError
from syncjob.model.sweeps import Allowance

LEAST = {"SYNCJOB_APPID": "wx5d1f0a2b3c4e6978", "SYNCJOB_APPSECRET": "s3cret"}


def job(**settings: str) -> Settings:
    """Read the settings of a job: the least there must be, and these."""
    return SettingsReader({**LEAST, **settings}).job()


def value_of(read: Settings, attribute: str) -> object:
    """Return the value of a setting, whether all accounts share it or not."""
    return getattr(read.account if attribute in OF_ACCOUNT else read, attribute)


def refused(**settings: str) -> str:
    """Return the one line in which a job with these settings is refused."""
    with pytest.raises(SettingsError) as caught:
        job(**settings)
    words = str(caught.value)
    assert words.isprintable(), words
    return words


def test_an_appid_and_a_secret_are_enough() -> None:
    """Everything but the account has a default."""
    assert job() == Settings(
        account=AccountSettings(
            appid="wx5d1f0a2b3c4e6978",
            appsecret=Secret("s3cret"),
            token_source="stable",
            token_url=Secret(""),
            token_command=(),
            access_token=Secret(""),
            lang="zh_CN",
            sweep_every=None,
            sweep_max_age=timedelta(days=1),
            max_drift=Allowance(50, 0.01),
            max_unfollow=Allowance(100, 0.05),
            refresh_after=None,
            refresh_limit=10_000,
            quota_reserve=0.2,
        ),
        database_url=Secret("sqlite:///syncjob.db"),
        database_patience=60.0,
        api_url="https://api.weixin.qq.com",
        batch_size=100,
        concurrency=8,
        probe_after=3,
        timeout=30.0,
        metrics_file=None,
        keep_runs=timedelta(days=400),
    )


TAKEN: list[tuple[str, str, str, object]] = [
    ("SYNCJOB_SWEEP_MAX_AGE", "12h", "sweep_max_age", timedelta(hours=12)),
    ("SYNCJOB_KEEP_RUNS", "30d", "keep_runs", timedelta(days=30)),
    ("SYNCJOB_KEEP_RUNS", "off", "keep_runs", None),
    ("SYNCJOB_MAX_DRIFT", "5%", "max_drift", Allowance(0, 0.05)),
    ("SYNCJOB_MAX_UNFOLLOW", "20", "max_unfollow", Allowance(20, 0.0)),
    ("SYNCJOB_MAX_UNFOLLOW", "20, 2.5 %", "max_unfollow", Allowance(20, 0.025)),
    ("SYNCJOB_MAX_UNFOLLOW", "100%", "max_unfollow", Allowance(0, 1.0)),
    ("SYNCJOB_REFRESH_AFTER", "30d", "refresh_after", timedelta(days=30)),
    ("SYNCJOB_REFRESH_AFTER", "off", "refresh_after", None),
    ("SYNCJOB_REFRESH_LIMIT", "500", "refresh_limit", 500),
    ("SYNCJOB_DATABASE_PATIENCE", "0", "database_patience", 0.0),
    ("SYNCJOB_DATABASE_PATIENCE", "2m", "database_patience", 120.0),
    ("SYNCJOB_APPID", "gh_0123-AZ", "appid", "gh_0123-AZ"),
    ("SYNCJOB_APPID", " wx1 ", "appid", "wx1"),
    ("SYNCJOB_APPSECRET", " s\n", "appsecret", Secret("s")),
    ("SYNCJOB_APPSECRET", "s3-cret!", "appsecret", Secret("s3-cret!")),
    ("SYNCJOB_API_URL", "https://api2.weixin.qq.com/", "api_url", "https://api2.weixin.qq.com"),
    ("SYNCJOB_API_URL", "http://127.0.0.1:8080", "api_url", "http://127.0.0.1:8080"),
    ("SYNCJOB_API_URL", "http://[::1]:8080/wx", "api_url", "http://[::1]:8080/wx"),
    ("SYNCJOB_API_URL", "https://me:pw@proxy_1/wx", "api_url", "https://me:pw@proxy_1/wx"),
    ("SYNCJOB_API_URL", "https://微信.example", "api_url", "https://微信.example"),
    ("SYNCJOB_API_URL", "", "api_url", "https://api.weixin.qq.com"),
    ("SYNCJOB_TOKEN_SOURCE", "classic", "token_source", "classic"),
    ("SYNCJOB_TOKEN_SOURCE", " stable ", "token_source", "stable"),
    ("SYNCJOB_LANG", "zh_TW", "lang", "zh_TW"),
    ("SYNCJOB_LANG", "en", "lang", "en"),
    ("SYNCJOB_LANG", "", "lang", "zh_CN"),
    ("SYNCJOB_CONCURRENCY", "1", "concurrency", 1),
    ("SYNCJOB_CONCURRENCY", "64", "concurrency", 64),
    ("SYNCJOB_BATCH_SIZE", "1", "batch_size", 1),
    ("SYNCJOB_BATCH_SIZE", "100", "batch_size", 100),
    ("SYNCJOB_SWEEP_EVERY", "auto", "sweep_every", None),
    ("SYNCJOB_SWEEP_EVERY", "0", "sweep_every", timedelta(0)),
    ("SYNCJOB_SWEEP_EVERY", "90", "sweep_every", timedelta(seconds=90)),
    ("SYNCJOB_SWEEP_EVERY", "90s", "sweep_every", timedelta(seconds=90)),
    ("SYNCJOB_SWEEP_EVERY", "30m", "sweep_every", timedelta(minutes=30)),
    ("SYNCJOB_SWEEP_EVERY", "6 h", "sweep_every", timedelta(hours=6)),
    ("SYNCJOB_SWEEP_EVERY", "1.5d", "sweep_every", timedelta(hours=36)),
    ("SYNCJOB_QUOTA_RESERVE", "0", "quota_reserve", 0.0),
    ("SYNCJOB_QUOTA_RESERVE", "12.5%", "quota_reserve", 0.125),
    ("SYNCJOB_QUOTA_RESERVE", "off", "quota_reserve", None),
    ("SYNCJOB_PROBE_AFTER", "10", "probe_after", 10),
    ("SYNCJOB_PROBE_AFTER", "off", "probe_after", 0),
    ("SYNCJOB_TIMEOUT", "5", "timeout", 5.0),
    ("SYNCJOB_TIMEOUT", "0.5s", "timeout", 0.5),
    ("SYNCJOB_TIMEOUT", "10m", "timeout", 600.0),
    ("SYNCJOB_DATABASE_URL", "postgres://a@b/c", "database_url", Secret("postgres://a@b/c")),
    ("SYNCJOB_DATABASE_URL", "postgresql:///c", "database_url", Secret("postgresql:///c")),
    (
        "SYNCJOB_DATABASE_URL",
        "postgresql+psycopg://a:b%40@h:5/c",
        "database_url",
        Secret("postgresql+psycopg://a:b%40@h:5/c"),
    ),
    ("SYNCJOB_DATABASE_URL", "sqlite:////a/b.db", "database_url", Secret("sqlite:////a/b.db")),
]


@pytest.mark.parametrize(("name", "text", "attribute", "value"), TAKEN)
def test_a_setting_has_these_forms(name: str, text: str, attribute: str, value: object) -> None:
    """Each setting is read in every form that the README names; blanks around it do not count."""
    assert value_of(job(**{name: text}), attribute) == value


MALFORMED = [
    # name, what is set, what the message says was found, and what is expected
    ("SYNCJOB_SWEEP_MAX_AGE", "0", "'0'", "a time such as 12h or 1d"),
    ("SYNCJOB_MAX_DRIFT", "a few", "'a few'", "100,5%"),
    ("SYNCJOB_MAX_UNFOLLOW", "500%", "'500%'", "at most 100%"),
    ("SYNCJOB_MAX_UNFOLLOW", "1,2", "'1,2'", "100,5%"),
    ("SYNCJOB_MAX_UNFOLLOW", "1,", "'1,'", "100,5%"),
    ("SYNCJOB_REFRESH_AFTER", "never", "'never'", "off, or a time such as 30d"),
    ("SYNCJOB_REFRESH_LIMIT", "0", "'0'", "a whole number from 1"),
    ("SYNCJOB_APPID", "wx 1", "'wx 1'", "wx0123456789abcdef"),
    ("SYNCJOB_APPID", "公众号", "'公众号'", "wx0123456789abcdef"),
    ("SYNCJOB_APPID", "w" * 65, "'www", "wx0123456789abcdef"),
    ("SYNCJOB_API_URL", "api.weixin.qq.com", "'api.weixin.qq.com'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "ftp://api.weixin.qq.com", "'ftp://", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://", "'https://'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://a:99999", "'https://a:99999'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://a:x", "'https://a:x'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://a b", "'https://a b'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://a\nb", r"'https://a\nb'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://a..b", "'https://a..b'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://*/", "'https://*/'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://[::1", "'https://[::1'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://[::x]", "'https://[::x]'", "https://api.weixin.qq.com"),
    ("SYNCJOB_API_URL", "https://a?b", "an address with", "https://api.weixin.qq.com"),
    ("SYNCJOB_TOKEN_SOURCE", "magic", "'magic'", "stable, classic, url, command, fixed"),
    ("SYNCJOB_TOKEN_SOURCE", "Stable", "'Stable'", "stable, classic, url, command, fixed"),
    ("SYNCJOB_LANG", "zh-CN", "'zh-CN'", "zh_CN, zh_TW, en"),
    ("SYNCJOB_CONCURRENCY", "0", "'0'", "a whole number from 1 to 64"),
    ("SYNCJOB_CONCURRENCY", "65", "'65'", "a whole number from 1 to 64"),
    ("SYNCJOB_BATCH_SIZE", "0", "'0'", "a whole number from 1 to 100"),
    ("SYNCJOB_BATCH_SIZE", "101", "'101'", "a whole number from 1 to 100"),
    ("SYNCJOB_BATCH_SIZE", "-1", "'-1'", "a whole number from 1 to 100"),
    ("SYNCJOB_BATCH_SIZE", "ten", "'ten'", "a whole number from 1 to 100"),
    ("SYNCJOB_BATCH_SIZE", "10.0", "'10.0'", "a whole number from 1 to 100"),
    ("SYNCJOB_BATCH_SIZE", "٣", "'٣'", "a whole number from 1 to 100"),
    ("SYNCJOB_BATCH_SIZE", "9" * 5000, "'999", "a whole number from 1 to 100"),
    ("SYNCJOB_SWEEP_EVERY", "often", "'often'", "auto, 0 (every run), or a time such as 30m"),
    ("SYNCJOB_SWEEP_EVERY", "-1h", "'-1h'", "auto, 0 (every run), or a time such as 30m"),
    ("SYNCJOB_SWEEP_EVERY", "1w", "'1w'", "auto, 0 (every run), or a time such as 30m"),
    ("SYNCJOB_SWEEP_EVERY", "9" * 400, "'999", "auto, 0 (every run), or a time such as 30m"),
    ("SYNCJOB_SWEEP_EVERY", "1e3", "'1e3'", "auto, 0 (every run), or a time such as 30m"),
    ("SYNCJOB_QUOTA_RESERVE", "20", "'20'", "a percentage"),
    ("SYNCJOB_QUOTA_RESERVE", "0.2", "'0.2'", "a percentage"),
    ("SYNCJOB_QUOTA_RESERVE", "91%", "'91%'", "at most 90%"),
    ("SYNCJOB_PROBE_AFTER", "-1", "'-1'", "or off"),
    ("SYNCJOB_PROBE_AFTER", "never", "'never'", "or off"),
    ("SYNCJOB_WEBHOOK_FORMAT", "teams", "'teams'", "auto, json, wecom, dingtalk, feishu, slack"),
    ("SYNCJOB_TIMEOUT", "0", "'0'", "at most 10m"),
    ("SYNCJOB_TIMEOUT", "11m", "'11m'", "at most 10m"),
    ("SYNCJOB_TIMEOUT", "nan", "'nan'", "at most 10m"),
    ("SYNCJOB_TIMEOUT", "30 seconds", "'30 seconds'", "at most 10m"),
]


@pytest.mark.parametrize(("name", "text", "found", "expected"), MALFORMED)
def test_a_malformed_setting_is_named_quoted_and_explained(
    name: str, text: str, found: str, expected: str
) -> None:
    """One line names the variable, what was found and what is expected."""
    words = refused(**{name: text})
    assert words.startswith(f"{name} is {found}")
    assert "; expected " in words
    assert expected in words.split("; expected ")[1]


MISSING = [
    ({"SYNCJOB_APPID": " "}, "SYNCJOB_APPID is not set; expected the account's AppID"),
    (
        {"SYNCJOB_APPSECRET": " "},
        "SYNCJOB_APPSECRET (or SYNCJOB_APPSECRET_FILE) is not set; expected the account's",
    ),
    (
        {"SYNCJOB_TOKEN_SOURCE": "classic", "SYNCJOB_APPSECRET": ""},
        "SYNCJOB_APPSECRET (or SYNCJOB_APPSECRET_FILE) is not set; expected the account's",
    ),
    ({"SYNCJOB_TOKEN_SOURCE": "url"}, "SYNCJOB_TOKEN_URL is not set; expected the http(s) address"),
    ({"SYNCJOB_TOKEN_SOURCE": "command"}, "SYNCJOB_TOKEN_COMMAND is not set; expected the command"),
    (
        {"SYNCJOB_TOKEN_SOURCE": "fixed"},
        "SYNCJOB_ACCESS_TOKEN (or SYNCJOB_ACCESS_TOKEN_FILE) is not set; expected the token",
    ),
]


@pytest.mark.parametrize(("settings", "words"), MISSING)
def test_a_setting_that_is_needed_and_not_there_is_named(
    settings: dict[str, str], words: str
) -> None:
    """What a token source needs must be set; blank is not set."""
    assert refused(**settings).startswith(words)


@pytest.mark.parametrize(
    ("settings", "attribute", "value"),
    [
        (
            {"SYNCJOB_TOKEN_SOURCE": "url", "SYNCJOB_TOKEN_URL": "https://t/?key=1#2"},
            "token_url",
            Secret("https://t/?key=1#2"),
        ),
        (
            {"SYNCJOB_TOKEN_SOURCE": "command", "SYNCJOB_TOKEN_COMMAND": "get 'a b' $c"},
            "token_command",
            ("get", "a b", "$c"),
        ),
        (
            {"SYNCJOB_TOKEN_SOURCE": "fixed", "SYNCJOB_ACCESS_TOKEN": "60_x"},
            "access_token",
            Secret("60_x"),
        ),
    ],
)
def test_a_token_source_needs_no_more_than_its_own_setting(
    settings: dict[str, str], attribute: str, value: object
) -> None:
    """With url, command and fixed no AppSecret is asked for, and none that is set is kept."""
    read = job(**settings)
    assert value_of(read, attribute) == value
    assert read.account.appsecret == Secret("")
    assert value_of(job(SYNCJOB_APPSECRET="s", **settings), attribute) == value


@pytest.mark.parametrize(
    ("misspelt", "name"),
    [
        ("SYNCJOB_APP_ID", "SYNCJOB_APPID"),
        ("syncjob_appid", "SYNCJOB_APPID"),
        ("SYNJOB_APPID", "SYNCJOB_APPID"),
        ("SYNCJOB_APPID_FILE", "SYNCJOB_APPID"),
        ("SYNCJOB_SECRET", "SYNCJOB_APPSECRET"),
        ("SYNCJOB_APP_SECRET", "SYNCJOB_APPSECRET"),
        ("SYNCJOB_APPSECRET_PATH", "SYNCJOB_APPSECRET"),
    ],
)
def test_a_missing_setting_names_a_misspelt_variable(misspelt: str, name: str) -> None:
    """A variable that is close to the missing one is named, its value is not."""
    words = refused(**{name: "", misspelt: "hunter2"})
    assert words.endswith(f"(did you mean it by {misspelt}?)")
    assert "hunter2" not in words


def test_another_setting_is_no_misspelling() -> None:
    """Settings that have a meaning of their own are not taken for the missing one."""
    assert "did you mean" not in refused(SYNCJOB_TOKEN_SOURCE="url", SYNCJOB_API_URL="http://a")
    assert "did you mean" not in refused(SYNCJOB_APPID="", HOME="/", PATH="/bin")


def test_the_database_settings_need_no_account() -> None:
    """The database's settings are read without AppID and secret, and checked all the same."""
    assert SettingsReader({}).database() == DatabaseSettings(
        Secret("sqlite:///syncjob.db"), 60.0, None
    )
    assert SettingsReader({"SYNCJOB_APPID": "wx1"}).database().appid == "wx1"
    with pytest.raises(SettingsError, match="SYNCJOB_APPID is 'wx 1'"):
        SettingsReader({"SYNCJOB_APPID": "wx 1"}).database()


def test_notice_settings_can_be_read_although_others_are_wrong() -> None:
    """Even the AppID, of which nothing is known then; no notice is sent unless one is set."""
    nobody = SettingsReader({}).notices()
    assert (nobody.command, nobody.webhook_url, nobody.webhook_format) == ((), None, "auto")
    assert not nobody.has_channel
    wrong = {"SYNCJOB_APPID": "wx 1", "SYNCJOB_LANG": "fr", "SYNCJOB_DATABASE_URL": "db"}
    command = SettingsReader({**wrong, "SYNCJOB_ON_FAILURE": "tell 'the operator' $1"}).notices()
    assert command.command == ("tell", "the operator", "$1")
    assert (command.has_channel, command.appid) == (True, None)
    for url in ("https://hooks.slack.com/services/T0/B0/x", "http://10.0.0.1:8080/hook?key=1"):
        webhook = SettingsReader({**LEAST, "SYNCJOB_WEBHOOK_URL": url}).notices()
        assert (webhook.webhook_url, webhook.appid) == (Secret(url), LEAST["SYNCJOB_APPID"])
        assert webhook.has_channel


TEXTS = st.one_of(st.text(), st.text("0123456789.mhd-+autozh_CN:/@?#[]% \n\0\udcff"))
NAMES = sorted(SETTING_NAMES)


@given(
    environ=st.dictionaries(st.sampled_from(NAMES), TEXTS),
    file=st.dictionaries(st.sampled_from(NAMES), TEXTS),
    source=st.sampled_from(["stable", "classic", "url", "command", "fixed"]),
)
def test_no_text_raises_anything_but_a_settings_error(
    environ: dict[str, str], file: dict[str, str], source: str
) -> None:
    """Whatever the variables hold, there are settings or one line that says what is wrong."""
    try:
        read = SettingsReader({**LEAST, "SYNCJOB_TOKEN_SOURCE": source, **environ}, file).job()
    except SettingsError as error:
        assert str(error).isprintable()
        assert re.match("SYNCJOB_[A-Z_]+ ", str(error))
    else:
        assert all(hasattr(read, name) for name in get_type_hints(Settings))


@given(st.from_regex(r"https?://[a-z0-9.:\[\]*% @\\/_-]{1,20}", fullmatch=True))
def test_an_address_that_is_taken_can_be_asked(url: str) -> None:
    """No request to an accepted address fails before it is sent, for the address's own sake."""
    try:
        taken = job(SYNCJOB_API_URL=url).api_url
    except SettingsError:
        return
    requests.Request("GET", taken + "/cgi-bin/token").prepare()


def test_the_environment_is_what_the_process_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """open_settings reads the process's variables, and the file that SYNCJOB_CONFIG names."""
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    assert open_settings().job() == job()
    (tmp_path / "a.toml").write_text("SYNCJOB_LANG = 'en'")
    (tmp_path / "b.toml").write_text("SYNCJOB_LANG = 'zh_TW'")
    monkeypatch.setenv("SYNCJOB_CONFIG", "a.toml")
    assert open_settings().job().account.lang == "en"
    assert open_settings("b.toml").job().account.lang == "zh_TW"
