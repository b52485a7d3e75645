"""The doctor: every fault is named, with its cure, and nothing is changed by looking."""

import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import create_engine, make_url, text

from syncjob.database.health import get_health
from syncjob.doctor.database import LEAST_FREE, judge
from syncjob.doctor.findings import Level
from syncjob.doctor.schedule import check_schedule
from tests.conftest import Databases, World
from tests.job.test_runs import signal_at, start
from tests.loopback import answering

Query = Callable[..., list[Any]]
Told = list[dict[str, Any]]
Doctor = Callable[..., tuple[int, Told]]
USER_GET, BATCHGET = "/cgi-bin/user/get", "/cgi-bin/user/info/batchget"
CANARY = "canary-5ecret-0123456789"


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Let the doctor look; return the exit code and what was found that is not well."""

    def look(*options: str) -> tuple[int, Told]:
        from syncjob.cli.main import run

        capsys.readouterr()
        code = run(["doctor", "--json", *options])
        said = capsys.readouterr()
        assert CANARY not in said.out + said.err
        report = json.loads(said.out)
        levels = ["ok", "note", "unchecked", "warning", "fault"]
        worst = max((finding["level"] for finding in report["findings"]), key=levels.index)
        assert report["worst"] == worst
        assert code == (1 if worst == "fault" else 0)
        return code, report["findings"]

    return look


def the_one(found: Told, level: str, *words: str) -> dict[str, Any]:
    """The one finding of that level with all these words in what it says or its cure."""
    fitting = [
        finding
        for finding in found
        if finding["level"] == level
        and all(word in f"{finding['what']} {finding['cure']}" for word in words)
    ]
    assert len(fitting) == 1, found
    return fitting[0]


def bad(found: Told) -> list[str]:
    """The checks with warnings or faults, in order."""
    return [finding["check"] for finding in found if finding["level"] in ("warning", "fault")]


@pytest.fixture
def healthy(serve: Callable[..., World], sqlite_url: str) -> World:
    """A WeChat and a database on which a run has just succeeded."""
    wechat = serve(250, page_size=100)
    wechat.set(SYNCJOB_DATABASE_URL=sqlite_url)
    assert wechat.run("sync") == 0
    return wechat


# --- when all is well ----------------------------------------------------------------------------


def test_a_healthy_installation_has_no_bad_finding(
    world: Callable[..., World], doctor: Doctor
) -> None:
    """Each check has a finding, none is bad, on both databases."""
    wechat = world(250, page_size=100)
    assert wechat.run("sync") == 0
    code, found = doctor()
    assert (code, bad(found)) == (0, [])
    checks = {finding["check"] for finding in found if finding["level"] == "ok"}
    assert checks >= {"settings", "database", "schema", "rights", "success", "dns", "network"}
    assert checks >= {"clock", "token", "permission", "quota"}
    assert [finding["level"] for finding in found if finding["check"] == "quota"] == ["ok"] * 3


def test_looking_changes_nothing(world: Callable[..., World], doctor: Doctor, query: Query) -> None:
    """No row of any table, no quota but a few calls; not even the token that it fetched."""
    wechat = world(250, page_size=100, token_lifetime=400)
    wechat.run("sync")
    wechat.simulator.kill_tokens()
    tables = ["accounts", "followers", "runs", "sweeps", "access_tokens", "quotas", "api_calls"]

    def everything() -> list[Any]:
        return [sorted(map(repr, query(f"SELECT * FROM {name}"))) for name in tables]

    before, calls = everything(), sum(wechat.simulator.counts.values())
    assert doctor()[0] == 0
    assert everything() == before
    assert sum(wechat.simulator.counts.values()) - calls <= 12


def test_each_finding_is_one_line(healthy: World, capsys: pytest.CaptureFixture[str]) -> None:
    """How bad, what was looked at, what was found, the cure."""
    healthy.simulator.faults.add("user/get=48001")
    assert healthy.run("doctor") == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "note", "unchecked", "warning", "fault") for line in lines)
    (line,) = (line for line in lines if line.startswith("fault"))
    assert line.split()[1] == "permission"
    assert " -> the account may not use this API: it must be certified" in line


def test_offline_asks_wechat_nothing(healthy: World, doctor: Doctor) -> None:
    """For a monitor that looks often."""
    calls = sum(healthy.simulator.counts.values())
    code, found = doctor("--offline")
    assert code == 0
    assert sum(healthy.simulator.counts.values()) == calls
    the_one(found, "unchecked", "--offline")


def test_before_the_first_run_it_is_said_how_to_start(
    world: Callable[..., World], doctor: Doctor
) -> None:
    """That none has ended is no fault."""
    world(5)
    code, found = doctor()
    assert (code, bad(found)) == (0, [])
    the_one(found, "note", "is not in the database yet", "syncjob -v sync")


# --- settings ------------------------------------------------------------------------------------


def test_every_wrong_setting_is_named_at_once(healthy: World, doctor: Doctor) -> None:
    """Not one after the other; what they do not concern is looked at."""
    healthy.set(SYNCJOB_BATCH_SIZE="1000", SYNCJOB_LANG="de", SYNCJOB_APPSECRET="")
    code, found = doctor()
    assert code == 1
    for name in ("SYNCJOB_BATCH_SIZE", "SYNCJOB_LANG", "SYNCJOB_APPSECRET"):
        assert the_one(found, "fault", name)["check"] == "settings"
    the_one(found, "ok", "SQLite")
    the_one(found, "unchecked", "the settings are wrong")


def test_a_misspelt_variable_is_named(healthy: World, doctor: Doctor) -> None:
    """A run passes over it."""
    healthy.set(SYNCJOB_CONCURENCY="32")
    found = doctor("--offline")[1]
    the_one(found, "warning", "SYNCJOB_CONCURENCY is no setting", "SYNCJOB_CONCURRENCY?")


def test_a_secret_that_everybody_can_read_is_named(healthy: World, doctor: Doctor) -> None:
    """A fault where it is the secret's file, a warning where it is the settings'."""
    file = Path("syncjob.toml")
    file.write_text(f'SYNCJOB_APPSECRET = "{CANARY}"\n')
    file.chmod(0o644)
    found = doctor("--offline", "--config", str(file))[1]
    the_one(found, "warning", "everybody on this machine can read", "chmod o= syncjob.toml")

    healthy.set(SYNCJOB_APPSECRET="", SYNCJOB_APPSECRET_FILE=str(file))
    assert the_one(doctor("--offline")[1], "fault", "syncjob.toml", "chmod")["check"] == "settings"


@pytest.mark.parametrize(
    ("content", "words"), [("= 5", "is not TOML"), ("SYNCJOB_X = 1", "'SYNCJOB_X'"), (None, "read")]
)
def test_a_settings_file_that_cannot_be_used_is_a_fault(
    doctor: Doctor, content: str | None, words: str
) -> None:
    """The doctor says so, as a run would."""
    if content is not None:
        Path("syncjob.toml").write_text(content)
    code, found = doctor("--config", "syncjob.toml")
    assert code == 1
    assert [the_one(found, "fault", words)] == found


def test_a_database_that_depends_on_the_folder_is_warned_of(
    serve: Callable[..., World], doctor: Doctor
) -> None:
    """Cron starts in another one."""
    serve(5)
    found = doctor("--offline")[1]
    the_one(found, "warning", "SYNCJOB_DATABASE_URL is not set", "sqlite:////absolute/path.db")


def test_an_unencrypted_api_url_is_warned_of(healthy: World, doctor: Doctor) -> None:
    """To another machine; on this one it is a rehearsal."""
    healthy.set(SYNCJOB_API_URL="http://wechat.example")
    the_one(doctor("--offline")[1], "warning", "travel in the clear", "https://")


def test_doctor_reports_settings_that_the_environment_overrides(
    healthy: World, doctor: Doctor
) -> None:
    """A variable that was left in the shell; the same value hides nothing."""
    Path("syncjob.toml").write_text('SYNCJOB_LANG = "en"\nSYNCJOB_BATCH_SIZE = 50\n')
    healthy.set(SYNCJOB_LANG="zh_TW", SYNCJOB_BATCH_SIZE="50")
    found = doctor("--offline", "--config", "syncjob.toml")[1]
    the_one(found, "note", "SYNCJOB_LANG of the file is hidden", "unset SYNCJOB_LANG")
    assert "SYNCJOB_BATCH_SIZE" not in str(found)


def test_a_missing_notice_command_is_warned_of(healthy: World, doctor: Doctor) -> None:
    """Before the first failure finds out; it is not run."""
    healthy.set(SYNCJOB_ON_FAILURE="/no/such/command --now")
    the_one(doctor("--offline")[1], "warning", "/no/such/command", "syncjob notify")
    healthy.set(SYNCJOB_ON_FAILURE="false")
    the_one(doctor("--offline")[1], "ok", "false is there")


def test_commands_in_messages_carry_the_config_option(
    serve: Callable[..., World], databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copied from a message, they act on the same database."""
    wechat = serve(5)
    url = databases.make_empty()
    if databases.kind == "sqlite":
        Path(make_url(url).database or "").touch()
    Path("my settings.toml").write_text(f'SYNCJOB_DATABASE_URL = "{url}"\n')
    named = ["--config", "my settings.toml"]
    assert wechat.run("sync", *named) == 4
    assert "(run: syncjob migrate --config 'my settings.toml')" in capsys.readouterr().err
    assert wechat.run("doctor", "--offline", *named) == 1
    assert "-> run: syncjob migrate --config 'my settings.toml'" in capsys.readouterr().out
    wechat.set(SYNCJOB_CONFIG="my settings.toml")
    assert wechat.run("sync") == 4
    assert "(run: syncjob migrate)" in capsys.readouterr().err


def test_a_metrics_file_that_cannot_be_written_is_warned_of(healthy: World, doctor: Doctor) -> None:
    """Before the first run finds out."""
    healthy.set(SYNCJOB_METRICS_FILE="/no/such/folder/syncjob.prom")
    the_one(doctor("--offline")[1], "warning", "/no/such/folder is not there")


# --- the database --------------------------------------------------------------------------------


def test_a_database_that_is_not_there_is_named(
    serve: Callable[..., World], databases: Databases, doctor: Doctor
) -> None:
    """What is looked at behind it is not."""
    url = make_url(databases.make_empty())
    url = url.set(database=f"{url.database}_no")
    serve(5).set(SYNCJOB_DATABASE_URL=url.render_as_string(hide_password=False))
    code, found = doctor()
    assert code == 1
    assert the_one(found, "fault", "does not exist")["check"] == "database"
    the_one(found, "unchecked", "the database cannot be used")
    the_one(found, "ok", "credentials and address are accepted")


def test_a_server_that_does_not_listen_is_named(
    serve: Callable[..., World], doctor: Doctor
) -> None:
    """PostgreSQL on a port where nobody is; after a minute of waiting, which is not slept here."""
    serve(5).set(SYNCJOB_DATABASE_URL=f"postgresql://syncjob:{CANARY}@127.0.0.1:9/x")
    report = the_one(doctor("--offline")[1], "fault", "Connection refused", "host and port")
    assert report["check"] == "database"


@pytest.mark.parametrize(
    ("revision", "words"),
    [(None, "no syncjob tables"), ("0001", "0001, this syncjob needs"), ("9999", "only knows")],
)
def test_a_schema_of_another_version_is_named(
    serve: Callable[..., World],
    databases: Databases,
    doctor: Doctor,
    revision: str | None,
    words: str,
) -> None:
    """None, an older one, a newer one."""
    url = databases.make() if revision else databases.make_empty()
    wechat = serve(5)
    wechat.set(SYNCJOB_DATABASE_URL=url)
    if revision is None and databases.kind == "sqlite":
        sqlite3.connect(make_url(url).database or "").close()
        Path(make_url(url).database or "").touch()
    if revision is not None:
        with connected(url) as connection:
            connection.execute(text(f"UPDATE syncjob_version SET version_num = '{revision}'"))
    assert the_one(doctor("--offline")[1], "fault", words)["check"] == "schema"


@contextmanager
def connected(url: str, *, autocommit: bool = True) -> Iterator[Any]:
    """A session of somebody else's."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, isolation_level="AUTOCOMMIT" if autocommit else None)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def postgresql(
    serve: Callable[..., World], postgresql_databases: Databases, doctor: Doctor
) -> Iterator[tuple[str, Callable[[], Told]]]:
    """A healthy database of PostgreSQL, used by a role of its own: `job`; and a look at it."""
    url = postgresql_databases.make()
    parsed = make_url(url)
    role = f"job_{parsed.database}"
    with connected(url) as admin:
        admin.execute(text(f"CREATE ROLE {role} LOGIN"))
        admin.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"))
    wechat = serve(5)
    as_job = parsed.set(username=role).render_as_string(hide_password=False)
    wechat.set(SYNCJOB_DATABASE_URL=as_job)
    yield url, lambda: doctor("--offline")[1]
    with connected(url) as admin:
        admin.execute(text(f"DROP OWNED BY {role}"))
        admin.execute(text(f"DROP ROLE {role}"))


@pytest.mark.parametrize(
    ("statement", "level", "words"),
    [
        ("REVOKE UPDATE ON sweeps FROM {role}", "fault", ("UPDATE on sweeps", "GRANT")),
        ("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}", "fault", ("and 4", "more")),
        ("ALTER ROLE {role} SET default_transaction_read_only = on", "fault", ("read-only",)),
        ("ALTER ROLE {role} CONNECTION LIMIT 2", "warning", ("sessions more", "limit")),
    ],
)
def test_missing_rights_of_the_role_are_named(
    postgresql: tuple[str, Callable[[], Told]], statement: str, level: str, words: tuple[str, ...]
) -> None:
    """Rights on tables, writing at all, sessions."""
    url, look = postgresql
    assert bad(look()) == []
    database = make_url(url).database
    with connected(url) as admin:
        admin.execute(text(statement.format(role=f"job_{database}", database=f'"{database}"')))
    if "REVOKE ALL" in statement:  # what cannot be read says no more than that
        assert any(finding["level"] == "fault" for finding in look())
        return
    the_one(look(), level, *words)


def test_the_holder_of_a_lock_is_named(postgresql: tuple[str, Callable[[], Told]]) -> None:
    """With what a session calls itself, and how to end it, once it is held for long."""
    url, look = postgresql
    with connected(f"{url}&application_name=nightly", autocommit=False) as other:
        other.execute(text("LOCK TABLE followers IN SHARE MODE"))
        # The job's role may not see for how long.
        the_one(look(), "warning", "nightly (pid", "ShareLock on followers", "pg_terminate_backend")
        health = get_health(url, name="doctor")
    assert bad(look()) == []
    (blocker,) = health.blockers
    assert [found for found in judge(health) if found.check == "locks"] == []
    later = replace(health, blockers=[replace(blocker, since=timedelta(seconds=21))])
    (finding,) = (found for found in judge(later) if found.check == "locks")
    assert finding.level == Level.WARNING
    assert "nightly (pid" in finding.what
    assert "ShareLock on followers" in finding.what
    assert "pg_terminate_backend" in finding.cure


def test_an_encoding_without_chinese_is_named(
    serve: Callable[..., World], postgresql_databases: Databases, doctor: Doctor
) -> None:
    """LATIN1 cannot keep a name."""
    url = make_url(postgresql_databases.make_empty())
    name = f"latin_{url.database}"
    with connected(url.render_as_string(hide_password=False)) as admin:
        admin.execute(
            text(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
        )
    try:
        latin = url.set(database=name).render_as_string(hide_password=False)
        serve(5).set(SYNCJOB_DATABASE_URL=latin)
        the_one(doctor("--offline")[1], "fault", "its encoding is LATIN1", "UTF8")
    finally:
        with connected(url.render_as_string(hide_password=False)) as admin:
            admin.execute(text(f'DROP DATABASE "{name}"'))


def test_a_program_that_holds_the_sqlite_file_is_warned_of(
    healthy: World, doctor: Doctor, sqlite_url: str
) -> None:
    """A shell that was left in a transaction."""
    with sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert the_one(doctor("--offline")[1], "warning", "writing the file")["check"] == "locks"
        other.execute("ROLLBACK")


def test_a_full_disk_is_warned_of(sqlite_url: str) -> None:
    """Beside a SQLite file."""
    health = get_health(sqlite_url, name="doctor")
    assert [found.level for found in judge(health) if found.check == "disk"] == [Level.OK]
    full = judge(replace(health, free=LEAST_FREE - 1))
    (finding,) = (found for found in full if found.check == "disk")
    assert finding.level == Level.WARNING
    assert "are free beside" in finding.what


def test_a_sqlite_file_that_this_user_may_not_write_is_named(
    healthy: World, sqlite_url: str
) -> None:
    """Asked as nobody, since root may everything."""
    if os.geteuid() != 0:  # then this user itself may be refused
        return
    path = Path(make_url(sqlite_url).database or "")
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom syncjob.doctor.findings import Level\n"
        "from syncjob.doctor.database import check_database\n"
        # Loaded when first used, and not readable by everybody where Python is root's own.
        "from syncjob.database.dialects import sqlite_health\n"
        "os.setgid(65534)\nos.setuid(65534)\n"
        f"found = check_database('sqlite:///{path}', name='x')[1]\n"
        "print([f.what for f in found if f.level == Level.FAULT])"
    )
    for folder in path.parents:
        if len(folder.parts) > 3 and folder.owner() == "root":
            folder.chmod(folder.stat().st_mode | 0o005)
    path.chmod(0o644)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "writing the file" in done.stdout or "readonly" in done.stdout, done.stderr


# --- history -------------------------------------------------------------------------------------


def test_an_old_success_is_a_fault(
    world: Callable[..., World], doctor: Doctor, query: Query
) -> None:
    """That is what a job that is not started any more looks like."""
    world(5).run("sync")
    query("UPDATE runs SET finished_at = '2026-01-01 00:00:00', started_at = '2026-01-01'")
    found = doctor("--offline")[1]
    assert the_one(found, "fault", "longer than 26 h", "systemctl list-timers")
    assert bad(doctor("--offline", "--max-age", "9999d")[1]) == []


def test_doctor_reports_a_job_that_never_succeeded_and_its_last_error(
    world: Callable[..., World], doctor: Doctor
) -> None:
    """With the cure of that error, and what WeChat knows of it by its rid."""
    wechat = world(5)
    wechat.simulator.faults.add("user/get=48001@1")
    assert wechat.run("sync") == 3
    found = doctor()[1]
    the_one(found, "fault", "no run has ever succeeded")
    assert the_one(found, "warning", "48001", "certified")["check"] == "last run"
    report = the_one(found, "note", "48001", "was asked at", "from 203.0.113.7", "7 ms")
    assert report["check"] == "last error"


def test_doctor_reports_a_run_whose_process_is_gone(
    world: Callable[..., World], doctor: Doctor
) -> None:
    """The next run takes its place."""
    wechat = world(300, page_size=100)
    process: list[Any] = []
    signal_at(wechat, "user/get", 2, signal.SIGKILL, process)
    process.append(start("sync"))
    process[0].communicate()
    found = doctor("--offline")[1]
    assert the_one(found, "warning", "its process is gone", "next run")["check"] == "running"


def test_doctor_reports_a_running_run_with_its_process(
    world: Callable[..., World], doctor: Doctor, query: Query
) -> None:
    """And one that has been silent for too long."""
    wechat = world(5)
    wechat.run("sync")
    query(
        "UPDATE runs SET status = 'running', finished_at = NULL, holder = 'host=far pid=1 start=1'"
    )
    found = doctor("--offline")[1]
    assert the_one(found, "note", "has been running", "host=far")["check"] == "running"
    query("UPDATE runs SET heartbeat_at = '2026-01-01 00:00:00'")
    the_one(doctor("--offline")[1], "warning", "host=far", "without a heartbeat")


def test_parked_unfollows_are_a_fault(world: Callable[..., World], doctor: Doctor) -> None:
    """A person must decide."""
    wechat = world(300, page_size=100)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    wechat.run("sync")
    for index in range(200):
        wechat.account.unfollow(wechat.account.openid(index))
    assert wechat.run("sync") == 6
    found = doctor("--offline")[1]
    assert the_one(found, "fault", "200 followers are missing", "syncjob unfollows")


def test_doctor_reports_a_list_that_is_always_discarded(
    world: Callable[..., World], doctor: Doctor
) -> None:
    """Three passes given up in a row."""
    wechat = world(300, page_size=100, total_off=200)
    wechat.set(SYNCJOB_SWEEP_EVERY="0")
    for _ in range(3):
        assert wechat.run("sync") == 75
    found = doctor("--offline")[1]
    assert the_one(found, "warning", "were given up", "SYNCJOB_MAX_DRIFT")["check"] == "list"


def test_doctor_reports_many_in_quarantine(
    world: Callable[..., World], doctor: Doctor, query: Query
) -> None:
    """And how to see why."""
    wechat = world(20)
    wechat.run("sync")
    query(
        "INSERT INTO quarantine (account_id, openid, reason, first_failed_at, next_try_at)"
        " SELECT account_id, openid, 'refused', first_seen_at, first_seen_at FROM followers LIMIT 3"
    )
    found = doctor("--offline")[1]
    assert the_one(found, "warning", "3 of 20", "SELECT reason")["check"] == "quarantine"


# --- the way to WeChat ---------------------------------------------------------------------------


@pytest.fixture
def direct(healthy: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Without a proxy of the machine's."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return healthy


def test_a_name_that_is_unknown_is_named(direct: World, doctor: Doctor) -> None:
    """DNS."""
    direct.set(SYNCJOB_API_URL="https://no-such-host.invalid")
    found = doctor()[1]
    assert the_one(found, "fault", "no-such-host.invalid cannot be resolved")["check"] == "dns"
    the_one(found, "unchecked", "WeChat cannot be reached")


def test_a_firewall_is_named(direct: World, doctor: Doctor) -> None:
    """Nobody answers at the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    direct.set(SYNCJOB_API_URL=f"https://127.0.0.1:{port}")
    assert the_one(doctor()[1], "fault", "does not answer", "port 443")["check"] == "network"


def test_a_certificate_that_is_not_trusted_is_named(direct: World, doctor: Doctor) -> None:
    """TLS that a proxy opens, or a clock that is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with answering([b"{}"], tls=context) as server:
        direct.set(SYNCJOB_API_URL=server.url)
        found = doctor()[1]
    assert the_one(found, "fault", "was not accepted", "REQUESTS_CA_BUNDLE")["check"] == "tls"


def test_a_proxy_that_is_down_is_named(direct: World, doctor: Doctor) -> None:
    """The message names the proxy, not WeChat, and not its password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"127.0.0.1:{listener.getsockname()[1]}"
    address = f"http://user:{CANARY}@{proxy}"
    direct.set(SYNCJOB_API_URL="http://wechat.invalid", HTTP_PROXY=address, http_proxy=address)
    found = doctor()[1]
    the_one(found, "note", f"through {proxy}")
    assert the_one(found, "fault", proxy, "HTTPS_PROXY")["check"] == "proxy"


@pytest.mark.parametrize(("body", "status"), [(b"<html>Log in</html>", 200), (b"{}", 502)])
def test_an_answer_that_is_not_wechats_is_named(
    direct: World, doctor: Doctor, body: bytes, status: int
) -> None:
    """A portal that wants a login, a gateway without anything behind it."""
    with answering([body], status=status) as server:
        direct.set(SYNCJOB_API_URL=server.url)
        found = doctor()[1]
    assert the_one(found, "fault", f"is not WeChat (HTTP {status})")["check"] == "network"


@pytest.mark.parametrize(("off", "words"), [(630, "10 min behind"), (-7200, "2 h ahead of")])
def test_a_clock_that_is_wrong_is_warned_of(
    healthy: World, doctor: Doctor, off: int, words: str
) -> None:
    """Against WeChat's own."""
    healthy.simulator.switches.clock_off = off
    assert the_one(doctor()[1], "warning", words, "NTP")["check"] == "clock"


# --- the token -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errcode", "level", "words"),
    [
        (40013, "fault", ("40013", "SYNCJOB_APPID")),
        (40125, "fault", ("40125", "SYNCJOB_APPSECRET")),
        (40164, "fault", ("40164", "add 203.0.113.7 to the IP whitelist")),
        (40243, "fault", ("frozen; unfreeze it",)),
        (50004, "fault", ("barred from access tokens",)),
        (50007, "fault", ("account is frozen",)),
        (61024, "fault", ("third-party platform",)),
        (89503, "fault", ("administrator must confirm 203.0.113.7",)),
        (45009, "warning", ("45009", "Beijing")),
        (-1, "warning", ("busy",)),
    ],
)
def test_why_there_is_no_token_is_named(
    healthy: World, doctor: Doctor, errcode: int, level: str, words: tuple[str, ...]
) -> None:
    """Credentials, the address that WeChat sees, the account's state; asked once."""
    healthy.simulator.faults.add(f"stable_token={errcode}")
    asked = healthy.simulator.count("stable_token")
    found = doctor()[1]
    if errcode == 89503:
        words = ("administrator must confirm",)
    assert the_one(found, level, *words)["check"] == "token"
    assert healthy.simulator.count("stable_token") == asked + 1
    assert sum(finding["level"] == "unchecked" for finding in found) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SOURCE": "command", "COMMAND": "no-such-command"}, ("was not found",)),
        ({"SOURCE": "command", "COMMAND": "false"}, ("exit code 1",)),
        ({"SOURCE": "command", "COMMAND": "echo ''"}, ("no usable access_token",)),
        ({"SOURCE": "url", "URL": "http://127.0.0.1:9/token"}, ("the token server",)),
    ],
)
def test_a_token_source_that_fails_is_named(
    healthy: World, doctor: Doctor, settings: dict[str, str], words: tuple[str, ...]
) -> None:
    """A command, or a token server."""
    healthy.set(**{f"SYNCJOB_TOKEN_{name}": value for name, value in settings.items()})
    found = doctor()[1]
    (report,) = (f for f in found if f["check"] == "token" and f["level"] in ("fault", "warning"))
    assert all(word in report["what"] for word in words)


def test_a_token_that_wechat_refuses_is_named(healthy: World, doctor: Doctor) -> None:
    """Given by hand, too old by now; it is not shown."""
    healthy.set(SYNCJOB_TOKEN_SOURCE="fixed", SYNCJOB_ACCESS_TOKEN=f"80_{CANARY}")
    found = doctor()[1]
    assert the_one(found, "fault", "4001", "another program refreshes it")["check"] == "token"


def test_a_classic_token_is_never_fetched_by_looking(healthy: World, doctor: Doctor) -> None:
    """That would kill the one of the company's website."""
    healthy.set(SYNCJOB_TOKEN_SOURCE="classic")
    code, found = doctor()
    assert code == 0
    the_one(found, "note", "the stored one is used")
    assert healthy.simulator.count("token") == 0


# --- what the account may do ---------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["user/get", "user/info/batchget", "user/info"])
@pytest.mark.parametrize(("errcode", "words"), [(48001, "certified"), (50002, "limited")])
def test_an_endpoint_that_is_not_granted_is_named(
    healthy: World, doctor: Doctor, endpoint: str, errcode: int, words: str
) -> None:
    """Each by itself; the others are looked at."""
    healthy.simulator.faults.add(f"{endpoint}={errcode}")
    found = doctor()[1]
    report = the_one(found, "fault", f"/cgi-bin/{endpoint} answered {errcode}", words)
    assert report["check"] == "permission"
    permissions = [finding["level"] for finding in found if finding["check"] == "permission"]
    assert sorted(permissions) == ["fault", "ok", "ok"]


@pytest.mark.parametrize(
    ("used", "level", "words"),
    [
        (500, "warning", ("0 of 500", "after midnight in Beijing")),
        (440, "warning", ("reserved", "SYNCJOB_QUOTA_RESERVE")),
        (100, "ok", ("399 of 500",)),
    ],
)
def test_doctor_reports_what_is_left_of_a_quota(
    healthy: World, doctor: Doctor, used: int, level: str, words: tuple[str, ...]
) -> None:
    """Of all programs; used up, reserved, plenty."""
    healthy.simulator.switches.daily_quota["user/get"] = 500
    spent = used - healthy.simulator.count("user/get")
    token = healthy.simulator.count("stable_token")
    assert token == 1
    spend(healthy, spent)
    report = [f for f in doctor()[1] if f["check"] == "quota" and USER_GET + ":" in f["what"]]
    assert [finding["level"] for finding in report] == [level]
    assert all(word in f"{report[0]['what']} {report[0]['cure']}" for word in words)


def spend(wechat: World, calls: int) -> None:
    """Let another program call user/get so often."""
    import requests

    with requests.Session() as session:
        asked = {"grant_type": "client_credential", "appid": wechat.simulator.appid}
        body = {**asked, "secret": wechat.simulator.secret}
        answer = session.post(f"{wechat.url}/cgi-bin/stable_token", json=body).json()
        for _ in range(calls):
            session.get(f"{wechat.url}{USER_GET}?access_token={answer['access_token']}")


def test_the_limit_of_a_test_account_is_known(healthy: World, doctor: Doctor) -> None:
    """A hundred lists a day."""
    healthy.simulator.switches.daily_quota["user/get"] = 100
    assert the_one(doctor()[1], "note", "the limit of a test account")["check"] == "quota"


# --- the schedule --------------------------------------------------------------------------------


def schedule(root: Path) -> list[tuple[str, str, str]]:
    """What is found about a machine whose files are there."""
    return [(found.level.name, found.what, found.cure) for found in check_schedule(root)]


def test_a_timer_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is no fault: cron may start the job; one that is off is warned of."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    ((level, what, cure),) = schedule(tmp_path)
    assert (level, "no timer" in what, "README: Schedule" in cure) == ("NOTE", True, True)

    unit = tmp_path / "etc/systemd/system/syncjob.timer"
    unit.parent.mkdir(parents=True)
    unit.touch()
    ((level, what, cure),) = schedule(tmp_path)
    assert (level, cure) == ("WARNING", "systemctl enable --now syncjob.timer")
    link = unit.parent / "timers.target.wants/syncjob.timer"
    link.parent.mkdir()
    link.symlink_to(unit)
    assert schedule(tmp_path) == [("OK", "syncjob.timer of systemd is enabled", "")]
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    for state, expected in (("active", "OK"), ("inactive", "WARNING"), ("failed", "WARNING")):
        systemctl.write_text(f"#!/bin/sh\necho {state}\n")
        systemctl.chmod(0o755)
        ((level, what, cure),) = schedule(tmp_path)
        assert level == expected
        assert (cure == "systemctl start syncjob.timer") == (expected == "WARNING")


@pytest.mark.parametrize("place", ["syncjob.service", "syncjob.service.d/url.conf"])
@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("Environment=SYNCJOB_DATABASE_URL=postgresql://u:p%40@h/c", True),
        ('Environment="SYNCJOB_DATABASE_URL=postgresql:///c?options=-csearch_path%3Dx"', True),
        ("Environment=SYNCJOB_DATABASE_URL=postgresql://u:p%%40@h/c", False),
        ("Environment=SYNCJOB_DATABASE_URL=postgresql://u:p%%%40@h/c", True),
        ("Environment=SYNCJOB_APPSECRET_FILE=%d/appsecret SYNCJOB_CONFIG=/etc/syncjob/%i", False),
        ("# Environment=SYNCJOB_DATABASE_URL=postgresql://u:p%40@h/c", False),
    ],
)
def test_a_percent_sign_that_systemd_takes_for_a_specifier_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, line: str, is_wrong: bool
) -> None:
    """systemd would pass over the whole variable, or put a folder's name into it."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    unit = tmp_path / "etc/systemd/system" / place
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\n{line}\n")
    warnings = [(what, cure) for level, what, cure in schedule(tmp_path) if level == "WARNING"]
    assert len(warnings) == is_wrong
    for what, cure in warnings:
        assert f"/etc/systemd/system/{place} has a %" in what
        assert "write %% for each" in cure


def test_the_units_of_deploy_have_no_such_sign(tmp_path: Path) -> None:
    """What the manual tells to install."""
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    for path in (Path(__file__).parents[2] / "deploy").glob("*.service"):
        (folder / path.name).write_text(path.read_text())
    assert not [what for level, what, _ in schedule(tmp_path) if level == "WARNING"]


def test_in_a_pod_no_timer_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the machine itself starts it."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert schedule(tmp_path) == [("NOTE", "this is a pod: its CronJob starts it", "")]


def test_doctor_says_which_settings_file_was_read(healthy: World, doctor: Doctor) -> None:
    """Or that none was, and where one was looked for."""
    assert "no settings file was named" in str(doctor("--offline")[1])
    Path("mine.toml").write_text("SYNCJOB_LANG = 'en'")
    healthy.set(SYNCJOB_CONFIG="mine.toml")
    assert "with the file mine.toml" in str(doctor("--offline")[1])
    healthy.set(SYNCJOB_BATCH_SIZE="many")
    assert "the file mine.toml was read" in str(doctor("--offline")[1])


def test_an_unusual_appid_and_quotation_marks_are_reported(healthy: World, doctor: Doctor) -> None:
    """Neither is a fault."""
    healthy.set(SYNCJOB_APPID="'gh_0123'", SYNCJOB_LANG='"en"')
    _, found = doctor("--offline")
    the_one(found, "warning", "'gh_0123', and an AppID is wx and 16 hexadecimal digits", "开发密钥")
    said = str(found)
    assert "SYNCJOB_LANG stands in quotation marks" in said
    assert "SYNCJOB_APPID stands in quotation marks" in said
