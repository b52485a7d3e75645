"""Checks the way to WeChat: DNS, proxy, TLS, latency, and the clocks."""

import socket
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from syncjob.config import Settings
from syncjob.doctor.findings import Finding, fault, from_error, note, ok, unchecked, warning
from syncjob.errors import SettingsError
from syncjob.limits import Overdue, within
from syncjob.model.spans import span_in_words
from syncjob.wechat.decoding import decode
from syncjob.wechat.http import Answer, HttpClient, RequestFailed, parse_http_date

# Without a token WeChat refuses the call, which proves that WeChat answers. It cannot be charged to
# any account's quota.
PATH = "/cgi-bin/user/get"
LONGEST = 10.0  # seconds
ASKED = 3  # times, for the latency
SLOW = 1.0  # seconds
# Tokens are refreshed five minutes before they end; quotas count by days.
DRIFT = timedelta(minutes=1)


def check_network(settings: Settings, *, database_now: datetime | None) -> list[Finding]:
    """Call WeChat without a token, and compare the clocks; a FAULT means it cannot be reached."""
    try:
        exchange = HttpClient(settings.api_url, timeout=min(settings.timeout, LONGEST))
    except SettingsError as error:
        return [from_error("network", error)]
    try:
        return list(_look(exchange, settings.api_url, database_now))
    finally:
        exchange.close()


def _look(exchange: HttpClient, url: str, database_now: datetime | None) -> Iterator[Finding]:
    host = urlsplit(url).hostname or ""
    if exchange.proxy is not None:
        yield note("proxy", f"WeChat is asked through {exchange.proxy}, as the environment says")
    else:
        try:
            look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
            found = within(LONGEST, look_up)
        except (OSError, Overdue) as error:
            late = f"no name server answers within {LONGEST:.0f} s"
            yield fault(
                "dns",
                f"{host} cannot be resolved: {getattr(error, 'strerror', late)}",
                "check /etc/resolv.conf and SYNCJOB_API_URL",
            )
            return
        yield ok("dns", f"{host} is {found[0][4][0]}")
    spans: list[float] = []
    for _ in range(ASKED):
        begun = time.monotonic()
        try:
            answer = exchange.send("GET", PATH, None, None)
        except SettingsError as error:
            yield from_error("network", SettingsError(f"WeChat cannot be asked: {error}"))
            return
        except RequestFailed as broken:
            yield _trouble(broken, host, exchange.proxy)
            return
        spans.append(time.monotonic() - begun)
    said = decode(answer.content)
    if answer.status != 200 or not isinstance(said, dict) or "errcode" not in said:
        yield fault(
            "network",
            f"what answers at {host} is not WeChat (HTTP {answer.status})",
            "check SYNCJOB_API_URL and the proxy; a portal or a firewall may be in between",
        )
        return
    latency = statistics.median(spans)
    text = f"WeChat answers within {latency * 1000:.0f} ms"
    if latency > SLOW:
        yield warning("network", text, "look for the delay; meanwhile raise SYNCJOB_CONCURRENCY")
    else:
        yield ok("network", text)
    yield from _clocks(answer, database_now)


def _trouble(broken: RequestFailed, host: str, proxy: str | None) -> Finding:
    if broken.where == "tls":
        return fault(
            "tls",
            f"the certificate of {host} was not accepted",
            "is the clock right? If a proxy opens TLS, name its CA in REQUESTS_CA_BUNDLE",
        )
    if broken.where == "proxy" or proxy is not None:
        return fault(
            "proxy",
            f"the proxy {proxy} does not lead to {host}: {broken}",
            "check HTTPS_PROXY and NO_PROXY, and that the proxy lets this machine",
        )
    return fault(
        "network",
        f"{host} does not answer: {broken}",
        "let this machine connect to it: TCP, port 443, outgoing",
    )


def _clocks(answer: Answer, database_now: datetime | None) -> Iterator[Finding]:
    here = time.time()
    there = None if answer.date is None else parse_http_date(answer.date)
    if there is None:
        yield unchecked("clock", "the answer had no date")
    else:
        yield _compared("WeChat's", there - here, "set this machine's clock by NTP (timedatectl)")
    # The job uses the database's clock, which may be another machine's.
    if database_now is not None:
        ahead = database_now.timestamp() - here
        yield _compared("the database's", ahead, "set the clock of the database's machine by NTP")


def _compared(whose: str, ahead: float, cure: str) -> Finding:
    """Judge a clock that is `ahead` seconds ahead of this machine's."""
    if abs(ahead) <= DRIFT.total_seconds():
        return ok("clock", f"this machine's agrees with {whose}")
    off = span_in_words(timedelta(seconds=abs(ahead)))
    way = "behind" if ahead > 0 else "ahead of"
    return warning("clock", f"this machine's is {off} {way} {whose}", cure)
