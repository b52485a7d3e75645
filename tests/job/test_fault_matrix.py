"""Every fault at every endpoint, once, in a burst and for ever: exit code, healing, and no leak.

`make fault-matrix` plays all of them; the tests play a sample.
"""

import base64
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import pytest

from tests.conftest import World
from tests.job.test_sync_job import assert_equals_truth

pytestmark = pytest.mark.one_database

Query = Callable[..., list[Any]]

PATTERNS = {"once": "@1", "in a burst": "@1-3", "for ever": ""}
TOKEN_ENDPOINTS = ("stable_token", "token")
ENDPOINTS = (*TOKEN_ENDPOINTS, "user/get", "user/info/batchget", "user/info")

HARMLESS = ("zero-errcode", "string-0", "text-plain", "bom", "slow-20")
PASSING = ("-1", "string--1", "268487001", "268487002", "45011", "html", "empty", "drop", "tear")
PASSING += ("hang", "http-408", "http-429", "http-500", "http-502", "http-503", "http-504")
GARBLED = ("cut", "garbage")
REJECTED = ("40001", "40014", "42001", "string-40001")
PERSON = ("40013", "40125", "40164", "40243", "48001", "48004", "50002", "50007", "61024", "89503")
QUOTA = ("45009",)
UNKNOWN = ("43002", "47001", "44002", "99999", "http-302", "http-404", "http-412")
OF_ONE = ("47001", "99999")  # of these, what one OpenID may be the reason of
OPENID = ("40003", "46004")


class Case(NamedTuple):
    """One fault, where, how often, and how the run must end."""

    endpoint: str
    what: str
    pattern: str
    exit_code: int


def expected(endpoint: str, what: str, pattern: str) -> int:
    """Say how a run must end that meets the fault."""
    for_ever, at_tokens = pattern == "for ever", endpoint in TOKEN_ENDPOINTS
    if what in HARMLESS:
        return 0
    if what == "cut" and endpoint == "user/info":
        return 0  # WeChat's own answer about one person is that person's: put into quarantine
    if what in PASSING or what in GARBLED:
        return 75 if for_ever else 0
    if what in REJECTED:  # a business call gets one other token, and then it is somebody's fight
        return 3 if at_tokens or pattern != "once" else 0
    if what in PERSON:
        return 3
    if what in QUOTA:
        return 75
    if endpoint not in ("user/info/batchget", "user/info"):
        return 1
    if what in OPENID:  # found by halving, put into quarantine; unless it is everybody
        return 3 if for_ever and endpoint == "user/info/batchget" else 0
    return 0 if what in OF_ONE and not for_ever else 1


def cases() -> Iterator[Case]:
    """All of them."""
    for endpoint in ENDPOINTS:
        for what in (*HARMLESS, *PASSING, *GARBLED, *REJECTED, *PERSON, *QUOTA, *UNKNOWN, *OPENID):
            for pattern in PATTERNS:
                yield Case(endpoint, what, pattern, expected(endpoint, what, pattern))


ALL = list(cases())
CHOSEN = ALL if os.environ.get("SYNCJOB_FAULTS") == "all" else ALL[::37]


def forms(canary: str) -> set[str]:
    """How a text might show: plain, escaped, encoded."""
    raw = canary.encode()
    found = {canary, quote(canary), quote(canary, safe=""), quote_plus(canary), raw.hex()}
    found |= {json.dumps(canary)[1:-1], repr(canary)[1:-1]}
    for skipped in range(3):  # base64 depends on where in a longer text it stands
        found.add(base64.b64encode(b"x" * skipped + raw).decode()[4:-4])
    return {form for form in found if len(form) > 6}


def leaks(texts: list[str], canaries: dict[str, str]) -> list[str]:
    """Name the canaries that are found in the texts."""
    everything = "\n".join(texts).lower()
    return [
        name
        for name, canary in canaries.items()
        if any(form.lower() in everything for form in forms(canary))
    ]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, at every level."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: f"{case[0]} {case[1]} {case[2]}")
def test_a_fault_ends_as_it_must_heals_and_lets_nothing_out(
    world: Callable[..., World],
    database_url: str,
    query: Query,
    capsys: pytest.CaptureFixture[str],
    heard: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
    case: Case,
) -> None:
    """The exit code is right, a rerun reaches the truth, and no secret or person shows."""
    wechat = world(25, page_size=10)
    account = wechat.account
    for index in range(0, 25, 5):
        account.override(account.openid(index), nickname="canary-nick\x1b[2J", remark="canary-mark")
    wechat.set(
        SYNCJOB_TOKEN_SOURCE="classic" if case.endpoint == "token" else "stable",
        SYNCJOB_TIMEOUT="0.3",
        SYNCJOB_BATCH_SIZE="20",
        SYNCJOB_CONCURRENCY="1",
        SYNCJOB_SWEEP_EVERY="0",
    )
    if case.endpoint == "user/info":  # asked only about those that a batch does not confirm
        for index in (1, 11):
            account.blank(account.openid(index))
    wechat.simulator.faults.add(f"{case.endpoint}={case.what}{PATTERNS[case.pattern]}")

    assert wechat.run("-vv", "sync") == case.exit_code

    tokens = {row[0] for row in query("SELECT access_token FROM access_tokens")}
    wechat.simulator.faults.clear()
    for index in (1, 11):
        account.cure(account.openid(index))
    query("UPDATE quarantine SET next_try_at = first_failed_at")
    if case.what in QUOTA and case.endpoint in TOKEN_ENDPOINTS:
        assert wechat.run("quota", "forget") == 0  # else none is asked for before midnight
    assert wechat.run("-vv", "sync") == 0
    assert_equals_truth(database_url, wechat.simulator)
    tokens |= {row[0] for row in query("SELECT access_token FROM access_tokens")}
    wechat.run("status")
    wechat.run("runs")

    canaries = {
        "secret": wechat.simulator.secret,
        "nickname": "canary-nick",
        "remark": "canary-mark",
        **{f"token {n}": token for n, token in enumerate(sorted(tokens - {""}))},
        **{f"openid {n}": account.openid(n) for n in range(25)},
        **{f"unionid {n}": str(account.user(account.openid(n)).get("unionid")) for n in range(25)},
    }
    out, err = capsys.readouterr()
    kept = [query(f"SELECT * FROM {table}") for table in ("runs", "accounts")]
    kept.append(query("SELECT reason FROM sweeps UNION ALL SELECT reason FROM quarantine"))
    texts = [out, err, heard.text, str(kept)]
    texts += [repr(record.args) for record in heard.records]
    record_property("searched", sum(len(text.encode()) for text in texts))
    assert leaks(texts, canaries) == []
    assert "\x1b" not in out + err + heard.text
    assert leaks([*texts, f"debug: {canaries['openid 3']}"], canaries) == ["openid 3"]
    assert leaks([*texts, quote(wechat.simulator.secret, safe="")], canaries) == ["secret"]
