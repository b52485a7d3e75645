"""Settings as they arrive: in quotation marks, full-width characters, bytes that are no text."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from syncjob.config import Secret, SettingsReader
from syncjob.config.settings import SETTING_NAMES
from syncjob.errors import SettingsError
from tests.cli.test_config import LEAST, job, refused, value_of
from tests.conftest import World

APPID = "wx5d1f0a2b3c4e6978"
PAIRS = ['"{}"', "'{}'", "\u201c{}\u201d", "\u2018{}\u2019", "\u201d{}\u201d", "`{}`", "\"'{}'\""]
PAIRS += ["\u300c{}\u300d", "\uff02{}\uff02", ' " {} " ', "\ufeff{}", "{}\r\n", "\u3000{}\u200b"]
QUOTED = [
    ("SYNCJOB_APPID", APPID, "appid", APPID),
    ("SYNCJOB_APPSECRET", "s3cret", "appsecret", Secret("s3cret")),
    ("SYNCJOB_DATABASE_URL", "sqlite:///a.db", "database_url", Secret("sqlite:///a.db")),
    ("SYNCJOB_API_URL", "https://api2.weixin.qq.com", "api_url", "https://api2.weixin.qq.com"),
    ("SYNCJOB_CONCURRENCY", "5", "concurrency", 5),
    ("SYNCJOB_TIMEOUT", "5s", "timeout", 5.0),
    ("SYNCJOB_LANG", "en", "lang", "en"),
    ("SYNCJOB_METRICS_FILE", "/a/b c.prom", "metrics_file", Path("/a/b c.prom")),
]


@pytest.mark.parametrize("pair", PAIRS, ids=ascii)
@pytest.mark.parametrize(("name", "text", "attribute", "value"), QUOTED)
def test_a_pair_of_quotation_marks_is_left_out(
    pair: str, name: str, text: str, attribute: str, value: object
) -> None:
    """`docker --env-file` hands it over with the value; so do editors and chats, in other forms."""
    assert value_of(job(**{name: pair.format(text)}), attribute) == value


@pytest.mark.parametrize(
    ("source", "name", "attribute"),
    [
        ("url", "SYNCJOB_TOKEN_URL", "token_url"),
        ("fixed", "SYNCJOB_ACCESS_TOKEN", "access_token"),
    ],
)
def test_quotation_marks_around_token_settings_are_left_out(
    source: str, name: str, attribute: str
) -> None:
    """The address of a token server, and a token given by hand."""
    read = job(SYNCJOB_TOKEN_SOURCE=f'"{source}"', **{name: '"https://tokens.example"'})
    assert value_of(read, attribute) == Secret("https://tokens.example")


def test_the_file_of_a_secret_may_hold_quotation_marks(tmp_path: Path) -> None:
    """Whether they are round its path or round what it holds."""
    path = tmp_path / "secret"
    path.write_text('"s3cret"\n')
    path.chmod(0o600)
    settings = {"SYNCJOB_APPID": APPID, "SYNCJOB_APPSECRET_FILE": f'"{path}"'}
    assert SettingsReader(settings).job().account.appsecret == Secret("s3cret")
    path.write_text('"s3cret\n')
    with pytest.raises(SettingsError, match="a quotation mark at one end only"):
        SettingsReader(settings).job()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('"redis-cli --raw GET token"', ("redis-cli", "--raw", "GET", "token")),
        ("'redis-cli --raw GET \"a b\"'", ("redis-cli", "--raw", "GET", "a b")),
        ('"redis-cli" "GET"', ("redis-cli", "GET")),
        ("redis-cli 'a b'", ("redis-cli", "a b")),
        ('sh -c "echo it\'s"', ("sh", "-c", "echo it's")),
    ],
)
def test_quotation_marks_of_a_command_are_read_as_a_shell_does(
    command: str, words: tuple[str, ...]
) -> None:
    """Only where the whole command stands in them, and is no program of that name, they go."""
    settings = {"SYNCJOB_TOKEN_SOURCE": "command", "SYNCJOB_TOKEN_COMMAND": command}
    assert job(**settings).account.token_command == words


def test_a_program_with_a_blank_in_its_name_is_one_word(tmp_path: Path) -> None:
    """Its quotation marks say so."""
    program = tmp_path / "get token"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    settings = {"SYNCJOB_TOKEN_SOURCE": "command", "SYNCJOB_TOKEN_COMMAND": f'"{program}"'}
    assert job(**settings).account.token_command == (str(program),)


@pytest.mark.parametrize("form", ['"{}', '{}"', "'{}", "{}'", "\u201c{}", "{}\u201d", "\"{}'"])
@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text, _, _ in QUOTED])
def test_a_quotation_mark_at_one_end_is_refused(name: str, text: str, form: str) -> None:
    """With what to do; a secret is not shown."""
    words = refused(**{name: form.format(text)})
    assert words == f"{name} has a quotation mark at one end only; take it out"


def test_a_quotation_mark_that_belongs_to_a_url_stays() -> None:
    """At the end of PostgreSQL's options a whole word may stand in quotation marks."""
    url = 'postgresql:///crm?options=-csearch_path="Mine"'
    assert job(SYNCJOB_DATABASE_URL=url).database_url == Secret(url)
    assert job(SYNCJOB_APPSECRET='a"b').account.appsecret == Secret('a"b')


@pytest.mark.parametrize("empty", ['""', "''", "\u201c\u201d", "\ufeff", "\u3000"])
def test_empty_quotation_marks_are_not_set(empty: str) -> None:
    """As an empty variable is not."""
    assert job(SYNCJOB_LANG=empty).account.lang == "zh_CN"
    with pytest.raises(SettingsError, match=r"SYNCJOB_APPSECRET .*is not set"):
        SettingsReader({**LEAST, "SYNCJOB_APPSECRET": empty}).job()


@pytest.mark.parametrize("name", ["SYNCJOB_APPSECRET", "SYNCJOB_ACCESS_TOKEN"])
@pytest.mark.parametrize(
    ("secret", "found"),
    [
        ("hunter2 hunter2", "holds a blank inside"),
        ("hunter2 # the secret", "holds a blank inside"),
        ("\uff48unter2", "characters that are not ASCII"),
        ("hunter2\u2026", "characters that are not ASCII"),
        ("hunter2\u3000x", "a control character"),
        ("hunter2\u200bx", "a control character"),
    ],
)
def test_a_secret_with_blanks_or_non_ascii_is_refused(name: str, secret: str, found: str) -> None:
    """It could only be refused by WeChat, and the reason would be hard to see."""
    settings = {name: secret, "SYNCJOB_TOKEN_SOURCE": "fixed" if "TOKEN" in name else "stable"}
    words = refused(**settings)
    assert words.startswith(name)
    assert found in words
    assert "unter2" not in words


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SYNCJOB_APPID", "\uff57\uff58\uff11"),
        ("SYNCJOB_CONCURRENCY", "\uff18"),
        ("SYNCJOB_MAX_UNFOLLOW", "100\uff0c5%"),
        ("SYNCJOB_TIMEOUT", "\uff13\uff10s"),
        ("SYNCJOB_LANG", "\uff45\uff4e"),
        ("SYNCJOB_TOKEN_SOURCE", "stab\u043be"),
    ],
)
def test_full_width_characters_are_named_as_such(name: str, text: str) -> None:
    """What was found looks right on the screen."""
    words = refused(**{name: text})
    assert words.startswith(f"{name} is ")
    assert "(not all of it is ASCII: full-width characters?); expected" in words


@pytest.mark.parametrize("placeholder", ["wx0123456789abcdef", "wxYOURAPPID", "APPID"])
@pytest.mark.parametrize("command", [["sync"], ["status"], ["plan"], ["migrate"]])
def test_the_placeholder_of_an_example_is_refused(
    serve: Callable[..., World],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    placeholder: str,
    command: list[str],
) -> None:
    """A settings file that nobody has edited makes no account in the database."""
    wechat = serve(1)
    wechat.set(SYNCJOB_APPID=placeholder, SYNCJOB_DATABASE_URL=sqlite_url)
    assert wechat.run(*command) == 2
    assert f"SYNCJOB_APPID is {placeholder!r}, the placeholder" in capsys.readouterr().err
    assert not wechat.simulator.requests


@pytest.mark.parametrize("appid", ["wx5d1f0a2b3c4e6978", "gh_0123-AZ", "wx1", "wxabcdefabcdefabcd"])
def test_an_appid_of_another_form_is_no_fault(appid: str) -> None:
    """Only doctor warns of it: WeChat has promised no form."""
    assert job(SYNCJOB_APPID=appid).account.appid == appid


# --- bytes that are no text -----------------------------------------------------------------------


@pytest.mark.parametrize("command", [["sync"], ["plan"], ["status"], ["migrate"], ["doctor"]])
@pytest.mark.parametrize("name", sorted(SETTING_NAMES))
def test_bytes_that_are_not_utf8_are_refused_by_name(
    serve: Callable[..., World],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    command: list[str],
) -> None:
    """In whatever setting, whether the command needs it or not; as GBK or Latin-1 would be."""
    wechat = serve(1)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    monkeypatch.setitem(os.environ, name, os.fsdecode(b"x\xce\xa2\xffy"))
    assert wechat.run(*command) == (1 if command == ["doctor"] else 2)
    printed = capsys.readouterr()
    assert f"{name} holds bytes that are not UTF-8" in printed.err + " ".join(printed.out.split())
    assert not wechat.simulator.requests


@pytest.mark.parametrize("place", ["option", "variable"])
def test_a_path_of_the_settings_file_that_is_not_utf8_is_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., World],
    place: str,
) -> None:
    """A person reads the path in messages, and copies it."""
    path = os.fsdecode(b"\xff.toml")
    Path(path).write_text("SYNCJOB_LANG = 'en'")
    options = ["--config", path] if place == "option" else []
    if place == "variable":
        monkeypatch.setitem(os.environ, "SYNCJOB_CONFIG", path)
    assert serve(1).run("status", *options) == 2
    assert "(--config or SYNCJOB_CONFIG) holds bytes that are not UTF-8" in capsys.readouterr().err
