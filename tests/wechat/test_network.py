"""The path to WeChat: names, certificates and proxies, over real sockets."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from syncjob.cli.main import run
from syncjob.simulator import Account, Simulator
from tests.hangs import Speaker
from tests.loopback import answering

REFUSAL = b'{"errcode": 40013, "errmsg": "invalid appid"}'  # exit code 3: WeChat was reached
SECRET = "canary-0123456789abcdef"


@pytest.fixture
def sync(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run the job against an address, with variables; return its exit code and what it says."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def start(url: str, **variables: str) -> tuple[int, str]:
        settings = {
            "SYNCJOB_DATABASE_URL": sqlite_url,
            "SYNCJOB_APPID": "wx5d1f0a2b3c4e6978",
            "SYNCJOB_APPSECRET": SECRET,
            "SYNCJOB_API_URL": url,
            "SYNCJOB_TIMEOUT": "5s",
        }
        for name, value in {**settings, **variables}.items():
            monkeypatch.setenv(name, value)
        code = run(["-vv", "sync"])
        said = capsys.readouterr().err
        assert SECRET not in said
        return code, said

    return start


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A private CA."""
    return trustme.CA()


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return what a server needs to show the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_a_private_ca_can_be_given_and_is_needed(
    sync: Callable[..., tuple[int, str]], authority: trustme.CA, tmp_path: Path
) -> None:
    """Without it the server is not trusted, and gets no request."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with answering([REFUSAL], tls=context_of(authority.issue_cert("127.0.0.1"))) as server:
        code, said = sync(server.url)
        assert code == 75
        assert "its TLS certificate was not accepted" in said
        assert server.requests == []
        assert sync(server.url, REQUESTS_CA_BUNDLE=str(tmp_path / "ca.pem"))[0] == 3
        assert len(server.requests) == 1


def test_a_whole_run_goes_over_tls(
    sync: Callable[..., tuple[int, str]],
    authority: trustme.CA,
    tmp_path: Path,
    sqlite_query: Callable[[str], list[tuple[object, ...]]],
) -> None:
    """Eight calls at a time, each connection verified."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    simulator = Simulator(Account(1200, 1))
    with simulator.serving(tls=context_of(authority.issue_cert("127.0.0.1"))) as url:
        code, said = sync(
            url,
            SYNCJOB_APPID=simulator.appid,
            SYNCJOB_APPSECRET=simulator.secret,
            REQUESTS_CA_BUNDLE=str(tmp_path / "ca.pem"),
        )
    assert (code, url.partition(":")[0]) == (0, "https"), said
    assert sqlite_query("SELECT count(*) FROM followers WHERE unionid IS NOT NULL") == [(1200,)]


@pytest.mark.parametrize("wrong", ["for another host", "expired"])
def test_an_invalid_certificate_is_rejected(
    sync: Callable[..., tuple[int, str]], authority: trustme.CA, tmp_path: Path, wrong: str
) -> None:
    """Although its CA is trusted."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    if wrong == "expired":
        yesterday = datetime(2026, 1, 1, tzinfo=UTC)
        certificate = authority.issue_cert(
            "127.0.0.1", not_before=datetime(2025, 1, 1, tzinfo=UTC), not_after=yesterday
        )
    else:
        certificate = authority.issue_cert("api.weixin.qq.com")
    with answering([REFUSAL], tls=context_of(certificate)) as server:
        code, said = sync(server.url, REQUESTS_CA_BUNDLE=str(tmp_path / "ca.pem"))
    assert code == 75
    assert "its TLS certificate was not accepted" in said
    assert server.requests == []


def test_a_missing_ca_bundle_is_named(sync: Callable[..., tuple[int, str]]) -> None:
    """As a wrong setting, not as a network failure."""
    code, said = sync("https://127.0.0.1:9", REQUESTS_CA_BUNDLE="/no/such/ca.pem")
    assert code == 2
    assert "REQUESTS_CA_BUNDLE" in said


def test_an_unknown_host_and_a_closed_port_are_network_failures(
    sync: Callable[..., tuple[int, str]],
) -> None:
    """Exit code 75, and advice to check the network."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url in ("http://no-such-host.invalid", f"http://127.0.0.1:{port}"):
        code, said = sync(url)
        assert code == 75
        assert "cannot be reached" in said
        assert "check the network, the proxy and the address" in said


def test_the_proxy_of_the_environment_is_used_unless_no_proxy_names_the_host(
    sync: Callable[..., tuple[int, str]],
) -> None:
    """HTTP_PROXY and NO_PROXY, in either case."""
    with answering([REFUSAL]) as proxy, answering([REFUSAL]) as direct:
        assert sync("http://wechat.invalid", HTTP_PROXY=proxy.url, http_proxy=proxy.url)[0] == 3
        ((method, target, _),) = proxy.requests
        assert (method, target) == ("POST", "http://wechat.invalid/cgi-bin/stable_token")
        assert sync(direct.url, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")[0] == 3
        assert (len(proxy.requests), len(direct.requests)) == (1, 1)


def test_a_proxy_that_is_down_is_named(sync: Callable[..., tuple[int, str]]) -> None:
    """WeChat is not blamed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    code, said = sync("http://wechat.invalid", HTTP_PROXY=proxy, http_proxy=proxy)
    assert code == 75
    assert "the proxy refused" in said


def test_a_broken_header_puts_no_url_into_a_log(
    sync: Callable[..., tuple[int, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """urllib3 warns of it with the URL, here with the AppSecret."""
    broken = b"HTTP/1.1 200 OK\r\nno header at all\r\nContent-Length: 2\r\n\r\n{}"
    with Speaker(broken) as server:
        sync(server.url, SYNCJOB_TOKEN_SOURCE="classic", SYNCJOB_TIMEOUT="1s")
        assert server.came.is_set()
    assert SECRET not in caplog.text
