"""Refused connections: the reason of each host, and the right cure, in any language."""

import os
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import trustme
from sqlalchemy import make_url

from syncjob.database.dialects.postgresql_errors import CURES
from syncjob.database.dialects.postgresql_refusals import CONNECTION_CURES
from tests.conftest import Databases, World
from tests.job.test_runs import SYNCJOB

Serve = Callable[..., World]
NO_TLS = 80877103, 80877104  # what a client asks with for TLS and GSSAPI
CANARY = "canary-5ecret"


@contextmanager
def refusing(
    message: str = "", *, severity: str = "FATAL", answer: bytes = b"N", tls: Any = None
) -> Iterator[int]:
    """A server that speaks PostgreSQL's protocol as far as a refusal; its port."""
    fields = {b"S": severity, b"V": "FATAL", b"C": "XX000", b"M": message}
    text = b"".join(key + value.encode() + b"\0" for key, value in fields.items()) + b"\0"
    refusal = b"E" + struct.pack("!I", len(text) + 4) + text
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    talk(connection)
                except OSError:
                    continue

    def talk(connection: socket.socket) -> None:
        while head := connection.recv(8):
            length, code = struct.unpack("!II", head)
            if code not in NO_TLS:
                connection.recv(length - 8)
                connection.sendall(refusal if message else b"")
                return
            connection.sendall(answer)
            if answer != b"N":
                if tls is not None:
                    tls.wrap_socket(connection, server_side=True).close()
                return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def say(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Open a database that refuses; return the error, of exit code 4."""
    wechat = serve()
    wechat.set(SYNCJOB_DATABASE_PATIENCE="0")

    def look(url: str) -> str:
        wechat.set(SYNCJOB_DATABASE_URL=url)
        assert wechat.run("status") == 4
        said = capsys.readouterr().err
        assert CANARY not in said
        assert len(said.splitlines()) == 1
        return said

    return look


# Messages of servers, in English and translated, and the cure.
REFUSALS = [
    ("FATAL", 'password authentication failed for user "job"', CURES["28"]),
    ("FATAL", "Passwort-Authentifizierung für Benutzer »job« fehlgeschlagen", CURES["28"]),
    ("致命错误", '用户 "job" Password 认证失败', CURES["28"]),
    ("FATAL", 'ユーザー"job"のパスワード認証に失敗しました', CURES["28"]),
    ("FATAL", "authentification par mot de passe échouée pour l'utilisateur « job »", CURES["28"]),
    ("FATAL", 'role "job" does not exist', CURES["28"]),
    ("致命错误", '角色"job" 不存在', CURES["28"]),
    ("FATAL", 'no pg_hba.conf entry for host "10.0.0.1", user "job", database "crm"', CURES["28"]),
    (
        "致命错误",
        '没有用于主机 "10.0.0.1", 用户 "job", 数据库 "crm", 无加密的 pg_hba.conf 记录',
        CURES["28"],
    ),
    ("FATAL", 'database "crm" does not exist', CURES["3D000"]),
    ("致命错误", '数据库 "crm" 不存在', CURES["3D000"]),
    ("FATAL", "Datenbank »crm« existiert nicht", CURES["3D000"]),
    ("ВАЖНО", 'база данных "crm" не существует', CURES["3D000"]),
    ("FATAL", "no such database: crm", CURES["3D000"]),
    ("FATAL", 'permission denied for database "crm"', CURES["42501"]),
    ("FATAL", "sorry, too many clients already", CURES["53300"]),
    ("FATAL", 'too many connections for role "job"', CURES["53300"]),
    ("FATAL", "remaining connection slots are reserved for roles with …", CURES["53300"]),
    ("致命错误", "对不起, 已经有太多的客户", CONNECTION_CURES["busy"]),
    ("FATAL", "tut mir leid, schon zu viele Verbindungen", CONNECTION_CURES["busy"]),
    ("FATAL", "the database system is starting up", CURES["57P"]),
    ("FATAL", "Tenant or user not found", CURES["28"]),
    ("FATAL", "unsupported startup parameter: options", CONNECTION_CURES["options"]),
    ("FATAL", 'unrecognized configuration parameter "timeout"', CONNECTION_CURES["refused"]),
    ("致命错误", '未认可的配置参数 "does not exist"', CONNECTION_CURES["refused"]),
    (
        "FATAL",
        "conversion between UTF8 and MULE_INTERNAL is not supported",
        CONNECTION_CURES["encoding"],
    ),
]


@pytest.mark.parametrize(("severity", "message", "cure"), REFUSALS)
def test_the_cure_fits_the_servers_reason(
    say: Callable[..., str], severity: str, message: str, cure: str
) -> None:
    """In any language of the server, and with any words in the names."""
    with refusing(message, severity=severity) as port:
        said = say(f"postgresql://job:{CANARY}@127.0.0.1:{port}/crm")
    where = f"the database 127.0.0.1:{port}/crm"
    assert said == f"syncjob: {where} cannot be used: {severity}: {message}; {cure}\n"


def test_a_passing_refusal_in_another_language_is_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All sessions are taken: the run begins when one of them has ended."""
    pauses: list[float] = []
    monkeypatch.setattr("syncjob.database.retry.time.sleep", pauses.append)
    with refusing("对不起, 已经有太多的客户", severity="致命错误") as port:
        wechat = serve()
        wechat.set(
            SYNCJOB_DATABASE_URL=f"postgresql://job@127.0.0.1:{port}/crm",
            SYNCJOB_DATABASE_PATIENCE="1s",
        )
        assert wechat.run("status") == 4
    assert pauses


def test_names_do_not_decide_the_cure(say: Callable[..., str]) -> None:
    """A database, a user or a file may be named like a reason."""
    name = "timeout does not exist: connection refused"
    with refusing(f'password authentication failed for user "{name}"') as port:
        said = say(f"postgresql://{quote(name)}@127.0.0.1:{port}/x")
    assert said.endswith(f"; {CURES['28']}\n")


# --- nobody listens ------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_each_way_to_fail_to_connect_has_its_cure(say: Callable[..., str], tmp_path: Path) -> None:
    """Nobody listens; no such name; no socket; no answer; something else answers."""
    port = free_port()
    said = say(f"postgresql://job@127.0.0.1:{port}/crm")
    assert f"127.0.0.1:{port}/crm cannot be used: Connection refused; " in said
    assert CONNECTION_CURES["unreached"] in said

    said = say("postgresql://job@no-such-host.invalid/crm")
    assert "no-such-host.invalid/crm cannot be used: failed to resolve host" in said
    assert CONNECTION_CURES["dns"] in said

    for url in (f"postgresql://job@/crm?host={tmp_path}", "postgresql://job@%2Fno%2Fsuch/crm"):
        said = say(url)
        assert CONNECTION_CURES["no socket"] in said
    assert "'crm' of the socket in /no/such cannot be used: No such file or directory" in said

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_port = silent.getsockname()[1]
        said = say(f"postgresql://job@127.0.0.1:{silent_port}/crm?connect_timeout=2")
    assert f"127.0.0.1:{silent_port}/crm cannot be used: connection timeout expired" in said
    assert CONNECTION_CURES["timeout"] in said

    with refusing(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        assert CONNECTION_CURES["no postgresql"] in say(f"postgresql://job@127.0.0.1:{web}/crm")
    with refusing() as mute:
        assert CONNECTION_CURES["no postgresql"] in say(f"postgresql://job@127.0.0.1:{mute}/crm")


def test_the_hosts_of_the_query_are_named(say: Callable[..., str]) -> None:
    """And those before the ?, and the one of PGHOST."""
    port = free_port()
    assert f"database 127.0.0.1:{port}/crm" in say(f"postgresql:///crm?host=127.0.0.1&port={port}")
    assert f"database [::1]:{port}/crm" in say(f"postgresql:///crm?host=::1&port={port}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PGHOST", "127.0.0.1")
        patched.setenv("PGPORT", str(port))
        patched.setenv("PGDATABASE", "crm")
        assert f"database 127.0.0.1:{port}/crm" in say("postgresql://")


def test_each_of_several_hosts_has_its_reason(say: Callable[..., str]) -> None:
    """The cure is that of the host that answered."""
    port = free_port()
    with refusing('password authentication failed for user "job"') as other:
        said = say(
            f"postgresql://job:{CANARY}@127.0.0.1:{port},127.0.0.1:{other},no-such.invalid/crm"
        )
    assert f"127.0.0.1:{port}: Connection refused, " in said
    assert f'127.0.0.1:{other}: FATAL: password authentication failed for user "job", ' in said
    assert "no-such.invalid: failed to resolve host" in said
    assert said.endswith(f"; {CURES['28']}\n")


# --- certificates, keys, passwords ---------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without certificates."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_certificates_have_their_own_cures(say: Callable[..., str], home: Path) -> None:
    """For the CA, the server, the client, and its key."""
    ours, others = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(home / "ca.crt"))
    others.cert_pem.write_to_path(str(home / "other.crt"))
    me = ours.issue_cert("job@example.com")
    me.cert_chain_pems[0].write_to_path(str(home / "me.crt"))
    me.private_key_pem.write_to_path(str(home / "me.key"))
    (home / "me.key").chmod(0o644)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("elsewhere.example").configure_cert(context)

    with refusing(answer=b"S", tls=context) as port:
        url = f"postgresql://job@127.0.0.1:{port}/crm"
        said = say(f"{url}?sslmode=verify-full")
        assert f'root certificate file "{home}/.postgresql/root.crt" does not exist; ' in said
        assert CONNECTION_CURES["ca"] in said
        for missing in ("does not exist", "timeout", "connection refused"):
            said = say(f"{url}?sslmode=verify-ca&sslrootcert=/no/{missing.replace(' ', '%20')}")
            assert CONNECTION_CURES["ca"] in said
        for ca in ("ca.crt", "other.crt"):  # another host; another CA
            said = say(f"{url}?sslmode=verify-full&sslrootcert={home}/{ca}")
            assert CONNECTION_CURES["certificate"] in said
        client = f"{url}?sslmode=require&sslcert={home}/me.crt"
        assert CONNECTION_CURES["key rights"] in say(f"{client}&sslkey={home}/me.key")
        assert CONNECTION_CURES["client certificate"] in say(f"{client}&sslkey={home}/none.key")
    with refusing() as port:
        said = say(f"postgresql://job@127.0.0.1:{port}/crm?sslmode=require")
        assert CONNECTION_CURES["no tls"] in said


def test_the_home_of_another_user_is_named(
    say: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    """`sudo` without -H, or a unit, keeps root's HOME, below which libpq looks for certificates."""
    (home / ".postgresql").mkdir()
    say(f"postgresql://job@127.0.0.1:{free_port()}/crm")  # all is imported
    home.chmod(0o000 if os.geteuid() else 0o700)
    with refusing(answer=b"S") as port:
        url = f"postgresql://job@127.0.0.1:{port}/crm?sslmode=require"
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            said = say(url)
        finally:
            os.seteuid(user)
            home.chmod(0o700)
    assert "Permission denied" in said
    assert CONNECTION_CURES["home"] in said


# --- a real server -------------------------------------------------------------------------------


def test_a_real_server_refuses_with_these_messages(
    postgresql_databases: Databases, say: Callable[..., str]
) -> None:
    """No such role, no such database; over a socket, root learns which user to run as."""
    url = make_url(postgresql_databases.make_empty())
    nobody = url.set(username=f"nobody_{uuid4().hex[:8]}").render_as_string(hide_password=False)
    assert CURES["28"] in say(nobody)
    nothing = url.set(database="no_such_database").render_as_string(hide_password=False)
    assert CURES["3D000"] in say(nothing)
    if os.geteuid() == 0 and str(url.query.get("host", "")).startswith("/"):
        own = f"postgresql:///{url.database}?host={url.query['host']}"
        assert 'role "root" does not exist; ' + CONNECTION_CURES["root"] in say(own)


def test_peer_authentication_has_its_cure(say: Callable[..., str], tmp_path: Path) -> None:
    """As root: run it as the job's user. As another user: as that user, or with a password."""
    folder = Path(tempfile.mkdtemp(prefix="syncjob-"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / ".s.PGSQL.5432"))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                text = b'SFATAL\0VFATAL\0C28000\0MPeer authentication failed for user "job"\0\0'
                connection.sendall(b"E" + struct.pack("!I", len(text) + 4) + text)

    threading.Thread(target=serve, daemon=True).start()
    user = os.geteuid()
    folder.chmod(0o755)
    (folder / ".s.PGSQL.5432").chmod(0o777)
    try:
        said = say(f"postgresql://job@/crm?host={folder}")
        assert CONNECTION_CURES["root" if user == 0 else "peer"] in said
        if user == 0:
            os.seteuid(65534)
            assert CONNECTION_CURES["peer"] in say(f"postgresql://job@/crm?host={folder}")
    finally:
        os.seteuid(user)
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_a_missing_password_is_named(
    postgresql_databases: Databases, say: Callable[..., str]
) -> None:
    """libpq knows that the server asked for one, whatever its message."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(8)
                connection.sendall(b"N")
                connection.recv(1024)
                connection.sendall(b"R" + struct.pack("!II", 8, 3))  # in the clear, please

    threading.Thread(target=serve, daemon=True).start()
    try:
        said = say(f"postgresql://job@127.0.0.1:{listener.getsockname()[1]}/crm?passfile=/none")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    assert CONNECTION_CURES["password"] in said


def test_a_read_only_session_ends_with_an_error(
    postgresql_databases: Databases, serve: Serve
) -> None:
    """By PGOPTIONS, a service file or a role: exit code 4, and no follower is counted as stored."""
    wechat = serve(5)
    wechat.set(SYNCJOB_DATABASE_URL=postgresql_databases.make())
    wechat.set(PGOPTIONS="-c default_transaction_read_only=on")
    run = subprocess.run([*SYNCJOB, "sync"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 4
    assert CURES["25006"] in run.stderr
    wechat.set(PGOPTIONS="")
    assert wechat.run("sync") == 0
