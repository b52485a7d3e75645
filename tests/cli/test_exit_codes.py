"""What an operator meets when something is wrong: the exit code, the words, and the cure."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Databases, World
from tests.loopback import answering

Query = Callable[..., list[Any]]


def said(capsys: pytest.CaptureFixture[str], wechat: World | None = None) -> str:
    """What was printed on stderr: one or two lines, no traceback, no secret; stdout is silent."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("syncjob: ")
    assert 1 <= len(captured.err.splitlines()) <= 2, captured.err
    assert "Traceback" not in captured.err
    if wechat is not None:
        assert wechat.simulator.secret not in captured.err
        assert "access_token=" not in captured.err
    return captured.err


REFUSALS = {
    # what WeChat answers: (the fault, exit code, words that the operator needs)
    "a wrong AppID": ("stable_token=40013", 3, "SYNCJOB_APPID"),
    "a wrong AppSecret": ("stable_token=40125", 3, "SYNCJOB_APPSECRET"),
    "a wrong AppSecret, the other code": ("stable_token=40001", 3, "SYNCJOB_APPSECRET"),
    "a frozen AppSecret": ("stable_token=40243", 3, "unfreeze"),
    "an IP that is not whitelisted": ("stable_token=40164", 3, "to the IP whitelist"),
    "an IP that waits for the administrator": ("stable_token=89503", 3, "administrator"),
    "an account that is not certified": ("user/get=48001", 3, "certified"),
    "an account that is limited": ("user/get=50002", 3, "limited"),
    "no permission for profiles": ("user/info/batchget=48001", 3, "certified"),
    "the day's quota of the list": ("user/get=45009", 75, "tomorrow"),
    "the day's quota of profiles": ("user/info/batchget=45009@2-", 75, "tomorrow"),
    "the day's quota of tokens": ("stable_token=45009", 75, "tomorrow"),
    "a minute's quota for ever": ("user/get=45011", 75, "minute"),
    "busy for ever": ("user/get=-1", 75, "busy"),
    "busy for ever, the other code": ("user/get=268487002", 75, "busy"),
    "an HTML page for ever": ("user/get=html", 75, "no JSON"),
    "a bad gateway for ever": ("user/info/batchget=http-502", 75, "HTTP 502"),
    "an empty body for ever": ("user/get=empty", 75, "no JSON"),
    "a cut body for ever": ("user/get=cut", 75, "no JSON"),
    "a connection that always breaks": ("user/get=drop", 75, "cannot be reached"),
    "a page of somebody else's server": ("user/get=http-404", 1, "check the address"),
    "an errcode that nobody knows": ("user/get=12345", 1, "12345"),
}


@pytest.mark.parametrize(("fault", "code", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_ends_with_its_code_and_its_cure_and_a_rerun_completes(
    serve: Callable[..., World],
    sqlite_url: str,
    sqlite_query: Query,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    code: int,
    words: str,
) -> None:
    """Each refusal has its exit code and says what to do; after the cure a rerun completes."""
    wechat = serve(250, page_size=100)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    wechat.simulator.faults.add(fault)

    assert wechat.run("sync") == code

    assert words in said(capsys, wechat)
    ((status, message),) = sqlite_query("SELECT status, message FROM runs")
    assert status == "failed"
    assert words in message
    assert wechat.run("status") == 1
    assert words in capsys.readouterr().out

    wechat.simulator.faults.clear()
    if fault == "stable_token=45009":
        assert wechat.run("quota", "forget") == 0  # else it is not asked for before midnight
    assert wechat.run("sync") == 0
    assert sqlite_query("SELECT count(*) FROM followers WHERE enriched_at IS NULL") == [(0,)]
    assert sqlite_query("SELECT count(*) FROM followers") == [(250,)]
    assert wechat.run("status") == 0


def test_the_ip_to_whitelist_is_named(
    serve: Callable[..., World], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """40164 names the address that the operator must whitelist, as WeChat saw it."""
    reply = {
        "errcode": 40164,
        "errmsg": "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in "
        "whitelist rid: 658cff8e-7783352d-44cb33e5",
    }
    with answering([json.dumps(reply).encode()]) as server:
        wechat = serve()
        wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_API_URL=server.url)

        assert wechat.run("sync") == 3

    words = said(capsys, wechat)
    assert "add 203.0.113.7 to the IP whitelist" in words
    assert "658cff8e-7783352d-44cb33e5" in words
    assert len(server.requests) == 1, "asking again costs quota and cannot help"


def test_what_may_pass_is_asked_again_with_growing_waits(
    serve: Callable[..., World], sqlite_url: str, sqlite_query: Query, naps: list[float]
) -> None:
    """A busy WeChat is asked again a few times, ever more patiently, and the run goes on."""
    wechat = serve(50)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    wechat.simulator.faults.add("user/get=-1@1-3")

    assert wechat.run("sync") == 0

    assert len(naps) == 3
    assert all(0 <= nap <= 2**n for n, nap in enumerate(naps))
    assert sqlite_query("SELECT calls, retries, status FROM runs") == [(9, 3, "succeeded")]


def test_a_minute_quota_is_waited_out(
    serve: Callable[..., World], sqlite_url: str, naps: list[float]
) -> None:
    """45011 is asked again after a minute at the earliest."""
    wechat = serve(50)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    wechat.simulator.faults.add("user/info/batchget=45011@1")

    assert wechat.run("sync") == 0

    assert max(naps) >= 60


def test_nobody_answers_at_the_address(
    serve: Callable[..., World], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused connection ends with 75 after all retries."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_API_URL=f"http://127.0.0.1:{port}")

    assert wechat.run("sync") == 75
    assert f"cannot be reached at 127.0.0.1:{port}" in said(capsys, wechat)


def test_a_server_that_never_answers_is_given_up(
    serve: Callable[..., World], sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SYNCJOB_TIMEOUT bounds one call."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_TIMEOUT="0.05")
    wechat.simulator.faults.add("user/get=hang")

    assert wechat.run("sync") == 75
    assert "no answer within the time allowed" in said(capsys, wechat)


# --- the database -------------------------------------------------------------------------

JOBS = ["sync", "backfill", "status", "runs"]


@pytest.mark.parametrize("command", JOBS)
def test_a_database_without_tables_is_not_touched(
    serve: Callable[..., World],
    databases: Databases,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    """A database that was never migrated ends with 4 and names the command to run."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=databases.make_empty())

    assert wechat.run(command) == 4

    assert "run: syncjob migrate" in said(capsys)
    assert wechat.simulator.counts == {}


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_a_schema_of_another_version_is_not_touched(
    world: Callable[..., World],
    query: Query,
    capsys: pytest.CaptureFixture[str],
    revision: str,
) -> None:
    """A schema that is older or newer than this version ends with 4 before anything is asked."""
    wechat = world(3)
    query("UPDATE syncjob_version SET version_num = :r", r=revision)

    assert wechat.run("sync") == 4

    assert "syncjob migrate" in said(capsys)
    assert wechat.simulator.counts == {}


def test_a_postgresql_that_is_not_there(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that does not answer ends with 4, without the password."""
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL="postgresql://job:hunter2@127.0.0.1:1/crm")

    for command in ("migrate", "sync", "status"):
        assert wechat.run(command) == 4
        words = said(capsys)
        assert "127.0.0.1" in words
        assert "hunter2" not in words


def test_a_database_that_does_not_exist(
    serve: Callable[..., World],
    postgresql_databases: Databases,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong database name ends with 4 and names it."""
    wechat = serve(3)
    url = postgresql_databases.make_empty()
    wechat.set(SYNCJOB_DATABASE_URL=url.replace("/test_", "/absent_"))

    assert wechat.run("sync") == 4
    assert "absent_" in said(capsys)


def test_a_sqlite_file_that_cannot_be_made(
    serve: Callable[..., World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path where no file can be ends with 4 and names it."""
    wechat = serve(3)
    for path in (tmp_path / "no/such/folder/x.db", tmp_path):
        wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///{path}")
        for command in ("migrate", "sync"):
            assert wechat.run(command) == 4
            assert str(path) in said(capsys)


def test_a_file_that_is_no_database(
    serve: Callable[..., World], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of something else ends with 4, and stays as it is."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear operator, this is no database at all.\n" * 100)
    wechat = serve(3)
    wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///{path}")

    for command in ("migrate", "sync"):
        assert wechat.run(command) == 4
        assert "no SQLite file" in said(capsys)
    assert path.read_text().startswith("Dear operator")


def test_a_read_only_sqlite_file(
    serve: Callable[..., World],
    sqlite_url: str,
    sqlite_query: Query,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file that cannot be written ends with 4, and a rerun after the cure completes."""
    wechat = serve(30)
    # A URI's mode=ro stands for the file's rights, which mean nothing to root.
    path = sqlite_url.removeprefix("sqlite:///")
    wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///file:{path}?mode=ro&uri=true")
    assert wechat.run("sync") == 4
    assert "check the rights" in said(capsys)

    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    assert wechat.run("sync") == 0
    assert sqlite_query("SELECT count(*) FROM followers") == [(30,)]


@pytest.mark.parametrize("option", ["timeout=abc", "bogus=1"])
def test_a_wrong_option_in_a_sqlite_url(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """An option that SQLite does not know ends with 2 and names the variable."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL=f"sqlite:///x.db?{option}")
    assert wechat.run("migrate") == 2
    assert "SYNCJOB_DATABASE_URL" in said(capsys)


@pytest.mark.parametrize(
    "url", ["postgresql://u:S3C@RET@localhost:1/x", "postgres://u:S3C@RET/x@h/x"]
)
def test_a_password_with_an_at_sign_is_not_shown_as_a_host(
    serve: Callable[..., World], capsys: pytest.CaptureFixture[str], url: str
) -> None:
    """An @ in a password that is not percent-encoded ends with 2, and nothing of it is said."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL=url)
    assert wechat.run("status") == 2
    words = said(capsys)
    assert "percent-encode" in words
    assert "RET" not in words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUESTS_CA_BUNDLE", "/no/such/file"),
        ("HTTPS_PROXY", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://u:p@host:99x"),
    ],
)
def test_a_wrong_variable_of_the_network_is_a_setting(
    serve: Callable[..., World],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    """Proxy and certificates that cannot be used end with 2 and are named; no call is made."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url, SYNCJOB_API_URL="https://wechat.invalid")
    wechat.set(**{name: value})
    assert wechat.run("sync") == 2
    assert name in said(capsys)


# --- settings -----------------------------------------------------------------------------

MISSING = {
    "SYNCJOB_APPID": {"SYNCJOB_APPID": ""},
    "SYNCJOB_APPSECRET": {"SYNCJOB_APPSECRET": ""},
    "SYNCJOB_TOKEN_URL": {"SYNCJOB_TOKEN_SOURCE": "url"},
    "SYNCJOB_TOKEN_COMMAND": {"SYNCJOB_TOKEN_SOURCE": "command"},
    "SYNCJOB_ACCESS_TOKEN": {"SYNCJOB_TOKEN_SOURCE": "fixed"},
}


@pytest.mark.parametrize(("name", "settings"), MISSING.items(), ids=MISSING.keys())
def test_a_missing_setting_is_named_before_anything_is_touched(
    serve: Callable[..., World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    settings: dict[str, str],
) -> None:
    """Without a setting that it needs, a run ends with 2, names it, and touches nothing."""
    wechat = serve(3)
    wechat.set(**settings)

    assert wechat.run("sync") == 2

    words = said(capsys, wechat)
    assert f"{name} " in words
    assert "expected" in words
    assert list(tmp_path.iterdir()) == []
    assert wechat.simulator.counts == {}
