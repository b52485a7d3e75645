"""Secrets among the settings: read from a variable or a file, and never shown."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from syncjob.config import DatabaseSettings, Secret, SettingsReader
from syncjob.errors import SettingsError
from syncjob.simulator import Request
from tests.cli.test_config import LEAST, job, refused, value_of
from tests.conftest import World

MALFORMED_SECRETS = [
    # settings that hold "hunter2", what the message says was found, and what is expected
    ({"SYNCJOB_APPSECRET": "hunter2\nhunter2"}, "a line break", "check its quoting"),
    ({"SYNCJOB_APPSECRET": "\x1b[31mhunter2"}, "a control character", "check its quoting"),
    ({"SYNCJOB_APPSECRET": "hunter2\udcff"}, "bytes that are not UTF-8", "type it again"),
    ({"SYNCJOB_DATABASE_URL": "mysql://me:hunter2@db/crm"}, "'mysql' URL", "postgresql://user@"),
    ({"SYNCJOB_DATABASE_URL": "me:hunter2@db/crm"}, "no URL", "postgresql://user@"),
    ({"SYNCJOB_DATABASE_URL": "me:hunter2@://"}, "no URL", "postgresql://user@"),
    ({"SYNCJOB_DATABASE_URL": "postgresql:/me:hunter2@db"}, "no URL", "postgresql://user@"),
    ({"SYNCJOB_DATABASE_URL": "postgresql://me:hunter2\n@db"}, "a line break", "check its quoting"),
    ({"SYNCJOB_API_URL": "ftp://me:hunter2@host"}, "an address with", "https://api.weixin"),
    ({"SYNCJOB_API_URL": "https://me:p@hunter2@ho st"}, "an address with", "https://api.weixin"),
    ({"SYNCJOB_API_URL": "https://me:p/hunter2@host"}, "an address with", "https://api.weixin"),
    ({"SYNCJOB_API_URL": "https://me:p?hunter2@host"}, "an address with", "https://api.weixin"),
    ({"SYNCJOB_API_URL": "https://host/?key=hunter2"}, "an address with", "https://api.weixin"),
    ({"SYNCJOB_API_URL": "https://host/#hunter2"}, "an address with", "https://api.weixin"),
    (
        {"SYNCJOB_TOKEN_SOURCE": "url", "SYNCJOB_TOKEN_URL": "tokens/?key=hunter2"},
        "no http(s) address",
        "your token server",
    ),
    (
        {"SYNCJOB_TOKEN_SOURCE": "url", "SYNCJOB_TOKEN_URL": "http://tokens/\n?key=hunter2"},
        "no http(s) address",
        "your token server",
    ),
    ({"SYNCJOB_WEBHOOK_URL": "bot/?key=hunter2"}, "no http(s) address", "that of a bot"),
    ({"SYNCJOB_WEBHOOK_URL": "http://bot/\n?key=hunter2"}, "a line break", "check its quoting"),
    ({"SYNCJOB_ON_FAILURE": "tell 'hunter2"}, "No closing quotation", "quote it as for a shell"),
    ({"SYNCJOB_ON_FAILURE": "tell hunter2\0"}, "a NUL character", "type it again"),
    (
        {"SYNCJOB_TOKEN_SOURCE": "fixed", "SYNCJOB_ACCESS_TOKEN": "hunter2\nhunter2"},
        "a line break",
        "check its quoting",
    ),
    (
        {"SYNCJOB_TOKEN_SOURCE": "command", "SYNCJOB_TOKEN_COMMAND": "get 'hunter2"},
        "No closing quotation",
        "quote it as for a shell",
    ),
    (
        {"SYNCJOB_TOKEN_SOURCE": "command", "SYNCJOB_TOKEN_COMMAND": "get hunter2\0"},
        "a NUL character",
        "type it again",
    ),
]


@pytest.mark.parametrize(("settings", "found", "expected"), MALFORMED_SECRETS)
def test_a_malformed_secret_is_named_and_never_shown(
    settings: dict[str, str], found: str, expected: str
) -> None:
    """What may hold a password or a key is described and not quoted."""
    words = refused(**settings)
    assert words.startswith(list(settings)[-1])
    assert found in words
    assert expected in words
    assert "hunter2" not in words


def test_no_repr_holds_a_secret() -> None:
    """Settings, a Secret and their texts can be printed: nothing that opens a door is in them."""
    read = job(
        SYNCJOB_DATABASE_URL="postgresql://me:hunter2@db/crm",
        SYNCJOB_APPSECRET="hunter2",
        SYNCJOB_API_URL="https://me:hunter2@proxy",
    )
    others = (
        job(SYNCJOB_TOKEN_SOURCE="url", SYNCJOB_TOKEN_URL="https://hunter2@tokens/?key=hunter2"),
        job(SYNCJOB_TOKEN_SOURCE="command", SYNCJOB_TOKEN_COMMAND="curl -H hunter2"),
        job(SYNCJOB_TOKEN_SOURCE="fixed", SYNCJOB_ACCESS_TOKEN="hunter2"),
        DatabaseSettings(Secret("postgresql://me:hunter2@db/crm"), 60.0, "wx1"),
        SettingsReader(
            {
                "SYNCJOB_WEBHOOK_URL": "https://bot/hunter2",
                "SYNCJOB_ON_FAILURE": "tell hunter2",
                "SYNCJOB_ACCESS_TOKEN": "hunter2",
                "PAGER_KEY": "hunter2",
            }
        ).notices(),
    )
    for printed in map(repr, (read, *others)):
        assert "hunter2" not in printed
    assert (
        "hunter2"
        not in f"{read.account.appsecret} {read.account.appsecret!r} {[read.account.appsecret]}"
    )
    assert read.account.appsecret.reveal() == "hunter2"
    assert len({read.account.appsecret, Secret("hunter2"), Secret("other")}) == 2
    assert read.account.appsecret != "hunter2"


PAIRS = [
    ("SYNCJOB_DATABASE_URL", "database_url", "sqlite:///a.db"),
    ("SYNCJOB_APPSECRET", "appsecret", "s3cret"),
    ("SYNCJOB_ACCESS_TOKEN", "access_token", "60_abc-DEF"),
]


def only(name: str) -> dict[str, str]:
    """Return settings that need the secret `name` and do not hold it."""
    settings = {**LEAST, "SYNCJOB_TOKEN_SOURCE": "fixed" if "TOKEN" in name else "stable"}
    settings.pop(name, None)
    return settings


@pytest.mark.parametrize("wrapped", ["{}", "{}\n", "{}\r\n", " {}\n\n", "\ufeff{}"], ids=ascii)
@pytest.mark.parametrize(("name", "attribute", "secret"), PAIRS)
def test_a_secret_can_stand_in_a_file(
    tmp_path: Path, name: str, attribute: str, secret: str, wrapped: str
) -> None:
    """NAME_FILE names a file with the secret; blanks and line ends around it do not count."""
    path = tmp_path / "secret"
    path.write_text(wrapped.format(secret), "utf-8", newline="")
    path.chmod(0o600)
    read = SettingsReader({**only(name), f"{name}_FILE": str(path)}).job()
    assert value_of(read, attribute) == Secret(secret)


@pytest.mark.parametrize(("name", "attribute", "secret"), PAIRS)
def test_both_forms_of_a_secret_together_are_refused(
    tmp_path: Path, name: str, attribute: str, secret: str
) -> None:
    """NAME and NAME_FILE together are refused, even if they agree; an empty one is not set."""
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "secret").chmod(0o440)
    both = {**only(name), name: secret, f"{name}_FILE": "secret"}
    with pytest.raises(SettingsError) as caught:
        SettingsReader(both).job()
    assert str(caught.value) == f"{name} and {name}_FILE are both set; expected only one of them"
    for empty in (name, f"{name}_FILE"):
        read = SettingsReader({**both, empty: ""}).job()
        assert value_of(read, attribute) == Secret(secret)


UNREADABLE = {
    "a file that is not there": (None, "No such file or directory"),
    "a folder": ("", "Is a directory"),
    "bytes that are no text": (b"\xff\xfehunter2", "it is not UTF-8 text"),
    "nothing": (b"", "which is empty"),
    "an empty line": (b" \n", "which is empty"),
    "far too much": (b"hunter2" * 10_000, "which is too long to be a secret"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("name", [name for name, _, _ in PAIRS])
def test_a_file_without_a_secret_is_named(
    tmp_path: Path, name: str, content: bytes | str | None, reason: str
) -> None:
    """A file that cannot be read, or holds nothing, is named with the variable and the reason."""
    path = tmp_path / "secret"
    if isinstance(content, bytes):
        path.write_bytes(content)
        path.chmod(0o600)
    elif content is not None:
        path.mkdir()
    with pytest.raises(SettingsError) as caught:
        SettingsReader({**only(name), f"{name}_FILE": str(path)}).job()
    words = str(caught.value)
    assert words.startswith(f"{name}_FILE names {str(path)!r}, which ")
    assert words.endswith(reason)
    assert "hunter2" not in words


def test_a_path_with_nul_is_refused() -> None:
    """A NUL in the name of a file, which only a settings file can hold, is no crash."""
    with pytest.raises(SettingsError, match="SYNCJOB_APPSECRET_FILE holds a NUL"):
        SettingsReader(only("SYNCJOB_APPSECRET"), {"SYNCJOB_APPSECRET_FILE": "a\0b"}).job()


def test_a_file_of_two_lines_is_no_secret(tmp_path: Path) -> None:
    """A file that holds more than the secret is refused, without showing it."""
    path = tmp_path / "secret"
    path.write_text("# the secret\nhunter2\n")
    path.chmod(0o600)
    with pytest.raises(SettingsError) as caught:
        SettingsReader({**only("SYNCJOB_APPSECRET"), "SYNCJOB_APPSECRET_FILE": str(path)}).job()
    assert str(caught.value).startswith("SYNCJOB_APPSECRET holds a line break")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666])
def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says what to run; the secret is not shown."""
    path = tmp_path / "secret"
    path.write_text("hunter2")
    path.chmod(mode)
    reader = SettingsReader({**only("SYNCJOB_APPSECRET"), "SYNCJOB_APPSECRET_FILE": str(path)})
    with pytest.raises(SettingsError) as caught:
        reader.job()
    assert str(caught.value).endswith(
        f"which everybody on this machine can read; run: chmod o= {path}"
    )
    assert "hunter2" not in str(caught.value)
    path.chmod(mode & 0o770)
    assert reader.job().account.appsecret == Secret("hunter2")


def test_a_device_that_never_ends_is_no_secret() -> None:
    """No more is read than a secret can have."""
    settings = {**only("SYNCJOB_APPSECRET"), "SYNCJOB_APPSECRET_FILE": "/dev/zero"}
    with pytest.raises(SettingsError, match="too long to be a secret"):
        SettingsReader(settings).job()


def test_a_secret_can_come_out_of_a_pipe(tmp_path: Path) -> None:
    """As from a shell's <(pass show appsecret): nobody else can read what has been read."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o666)
    writer = threading.Thread(target=path.write_text, args=("hunter2\n",))
    writer.start()
    settings = {**only("SYNCJOB_APPSECRET"), "SYNCJOB_APPSECRET_FILE": str(path)}
    assert SettingsReader(settings).job().account.appsecret == Secret("hunter2")
    writer.join()


def test_the_address_of_a_bot_can_come_out_of_a_pipe(tmp_path: Path) -> None:
    """It is read once, although a run needs it at its beginning and at its end."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    writer = threading.Thread(target=path.write_text, args=("https://bot/hunter2\n",))
    writer.start()
    reader = SettingsReader({**LEAST, "SYNCJOB_WEBHOOK_URL_FILE": str(path)})
    reader.job()
    assert reader.notices().webhook_url == Secret("https://bot/hunter2")
    writer.join()


def test_ps_shows_no_secret_of_a_run_at_work(
    world: Callable[..., World], database_url: str, query: Callable[..., Any]
) -> None:
    """Neither the secret, nor the token, nor the database's password is on a command line."""
    wechat = world(5)
    seen: list[bytes] = []

    def look(request: Request) -> None:
        if request.endpoint == "user/get":
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.append(path.read_bytes())

    wechat.simulator.on_request = look
    with subprocess.Popen([sys.executable, "-m", "syncjob", "-vv", "sync"], stderr=DEVNULL) as job:
        assert job.wait(60) == 0
    assert any(b"syncjob\0-vv\0sync" in line for line in seen)
    ((token,),) = query("SELECT access_token FROM access_tokens")
    for secret in (wechat.simulator.secret, token, database_url):
        assert not any(secret.encode() in line for line in seen)
