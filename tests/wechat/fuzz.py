"""Reads many broken answers of every endpoint; `make fuzz ANSWERS=100000` runs it.

Exits with 1 at an answer that is not read as it should be, after saying how to read it again: no
error but syncjob's own, soon, in little memory, and nothing that cannot be stored. The same seed
makes the same answers.
"""

# ruff: noqa: E402, T201 - the checkout comes onto the path before imports; it prints its figures

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

sys.path[0] = str(Path(__file__).parents[2])

from syncjob.errors import SyncjobError, WeChatError
from syncjob.model.cleaning import BIGINT
from syncjob.model.replies import AccessToken, FollowerPage
from syncjob.model.user_info import UserInfo
from syncjob.simulator import Account
from syncjob.simulator.profiles import Era, Shape
from syncjob.wechat.client import QUOTA_GET, RID_GET, USER_GET, USER_INFO, USER_INFO_BATCHGET
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.http import Answer
from syncjob.wechat.token_sources import CLASSIC_TOKEN, STABLE_TOKEN, TOKEN_SERVER
from syncjob.wechat.transport import Retryable, Transport
from tests.simulator_calls import calling
from tests.wechat.mutations import mutated

ENDPOINTS: dict[str, Endpoint[Any]] = {
    "user/get": USER_GET,
    "user/info": USER_INFO,
    "user/info/batchget": USER_INFO_BATCHGET,
    "stable_token": STABLE_TOKEN,
    "token": CLASSIC_TOKEN,
    "token server": TOKEN_SERVER,
    "openapi/quota/get": QUOTA_GET,
    "openapi/rid/get": RID_GET,
}
LONGEST = 1.0  # seconds of CPU for one answer
MOST_MEMORY = 50 * 2**20  # bytes that reading them all may add
STATUSES = (200,) * 50 + (201, 302, 403, 404, 429, 500, 502)
SENT = {"access_token": "60_Ab-c+d/e=f~g.h", "secret": "0123456789abcdef0123456789abcdef"}
ERRMSGS = {
    -1: "system error",
    0: "ok",
    40001: "invalid credential, access_token is invalid rid: 5f7c3d21-0a1b2c3d-4e5f6a7b",
    40003: "invalid openid hint: [aB3dE6gH9] rid: 5f7c3d21-0a1b2c3d-4e5f6a7b",
    40013: "invalid appid",
    40164: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist",
    42001: f"access_token expired: {SENT['access_token']}",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    48001: "api unauthorized",
    99999: "没有这样的错误",
}


class Flaw(Exception):
    """Something that is not as it should be; the text says what."""


@dataclass
class Figures:
    """What became of an endpoint's answers; `slowest` and `memory` in seconds and bytes."""

    answers: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    memory: int = 0
    failure: str = ""


def main() -> int:
    """Deal out the endpoints and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000, help="of each endpoint")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--endpoint", choices=ENDPOINTS, help="this one only")
    parser.add_argument("--only", type=int, help="read this answer only, as a failure names it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args()
    names = list(ENDPOINTS) if asked.endpoint is None else [asked.endpoint]
    failures = []
    with ProcessPoolExecutor(
        asked.jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        done = [pool.submit(fuzz, name, asked.answers, asked.seed, asked.only) for name in names]
        for name, figures in zip(names, (future.result() for future in done), strict=True):
            print(
                f"{name}: answers {figures.answers}, read {figures.read}, "
                f"refused {figures.refused}, slowest {figures.slowest * 1000:.0f} ms, "
                f"memory +{figures.memory / 2**20:.0f} MiB",
                flush=True,
            )
            failures += [figures.failure] if figures.failure else []
    for failure in failures:
        print(failure)
    if not failures:
        print("no foreign error, nothing slow, nothing that cannot be stored")
    return 1 if failures else 0


def fuzz(name: str, answers: int, seed: int, only: int | None = None) -> Figures:
    """Read changed answers of one endpoint, up to the first that goes wrong; or one `only`."""
    dice = random.Random(f"{seed} {name}")
    reader, bodies, figures = Reader(name), seeds(name), Figures()
    for body in set(bodies):
        reader.read(200, body)
    before = _peak_memory()
    for number in range(1, answers + 1):
        status, body = dice.choice(STATUSES), mutated(dice, bodies)
        if only not in (None, number):
            continue
        figures.answers += 1
        started = time.thread_time()
        failure = ""
        try:
            if reader.read(status, body) is None:
                figures.refused += 1
            else:
                figures.read += 1
        except Flaw as flaw:
            failure = f"{flaw}\n"
        except Exception:  # noqa: BLE001 - any failure is reported, with how to replay it
            failure = traceback.format_exc(limit=-6)
        took = time.thread_time() - started
        figures.slowest = max(figures.slowest, took)
        figures.memory = _peak_memory() - before
        if not failure and took > LONGEST:
            failure = f"took {took:.1f} s\n"
        if not failure and figures.memory > MOST_MEMORY:
            failure = f"memory grew by {figures.memory >> 20} MiB\n"
        if failure:
            shown = body[:2000].hex() + ("…" if len(body) > 2000 else "")
            figures.failure = (
                f"{failure}failed at HTTP {status} with {len(body)} bytes, in hex {shown}\n"
                f"again: python tests/wechat/fuzz.py --endpoint '{name}' --seed {seed} "
                f"--only {number}"
            )
            break
    reader.close()
    return figures


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --- answers as they should be -----------------------------------------------------------------


def seeds(name: str) -> list[bytes]:
    """Return the simulator's answers of an endpoint, in each shape, and some errors among them."""
    match name:
        case "user/get":
            right = [*_pages()]
        case "user/info":
            right = [*_users()]
        case "user/info/batchget":
            right = [*_batches()]
        case "openapi/quota/get":
            quota = {"daily_limit": 500, "used": 7, "remain": 493}
            right = [json.dumps({"errcode": 0, "errmsg": "ok", "quota": quota}).encode()]
        case "openapi/rid/get":
            request = {"invoke_time": 1635927298, "cost_in_ms": 100, "client_ip": "203.0.113.7"}
            right = [json.dumps({"errcode": 0, "errmsg": "ok", "request": request}).encode()]
        case "token server":
            right = [*_tokens(), b"60_bare-Token.1\n", b'"60_quoted"']
        case _:
            right = [*_tokens()]
    errors = [
        json.dumps({"errcode": code, "errmsg": errmsg}, ensure_ascii=False).encode()
        for code, errmsg in ERRMSGS.items()
    ]
    return right * -(-4 * len(errors) // len(right)) + errors


def _pages() -> Iterator[bytes]:
    for last in ("last", "empty", "space", "absent"):
        with calling(Account(5), last_cursor=last, repeat_entry=True, blank_entry=True) as caller:
            yield caller.get("user/get").content
    for past in ("no-data", "empty-data", "null-data", "null-openid", "empty-openid", "no-total"):
        with calling(Account(2), past_end=past) as caller:
            cursor = caller.page()["next_openid"]
            yield caller.get("user/get", next_openid=cursor).content


def _accounts() -> Iterator[Account]:
    """Accounts of every era, with somebody who left, and with texts that were seen broken."""
    for era in get_args(Era):
        for shape in get_args(Shape):
            account = Account(3, profiles=era, unfollowed=shape)
            account.unfollow(account.openid(2))
            yield account
    yield Account(11, quirk_every=1)


def _users() -> Iterator[bytes]:
    for account in _accounts():
        with calling(account) as caller:
            for index in range(account.ever):
                openid = account.openid(index)
                yield caller.get("user/info", openid=openid, lang="zh_CN").content


def _batches() -> Iterator[bytes]:
    for account in _accounts():
        with calling(account) as caller:
            for size in (1, 3):
                yield caller.batch([account.openid(index) for index in range(size)]).content
            yield caller.batch([account.openid(account.ever - 1)]).content


def _tokens() -> Iterator[bytes]:
    with calling(Account(1)) as caller:
        for endpoint in ("stable_token", "token"):
            yield json.dumps(caller.new_token(endpoint), separators=(",", ":")).encode()


# --- answers read ------------------------------------------------------------------------------


class Reader:
    """Reads bodies as the job's transport does once they have arrived, and looks at the outcome."""

    def __init__(self, name: str) -> None:
        self._endpoint = ENDPOINTS[name]
        self._transport = Transport("http://localhost", timeout=1)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def read(self, status: int, body: bytes) -> Any:
        """Return what an answer says, None for a refused one; raise Flaw for what is wrong."""
        fast = None
        if self._endpoint.documented is not None and status < 300:
            fast = self._endpoint.documented(body)
        try:
            said = self._transport._read(self._endpoint, Answer(status, body), SENT)
        except Retryable as passing:
            _check_error(passing.error)
            said = None
        except SyncjobError as error:
            _check_error(error)
            said = None
        if fast is not None and fast != said:
            raise Flaw("the fast road and the tolerant one read it differently")
        match said:
            case FollowerPage():
                _check_page(said)
            case AccessToken():
                _check_text(said.value)
                _check(said.expires_in is None or 0 <= said.expires_in <= 86_400, "expires_in")
            case UserInfo():
                _check_user(said)
            case list():
                for user in said:
                    _check_user(user)
        return said


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise Flaw(f"cannot be stored, or is wrong: {what}")


def _check_text(text: str) -> None:
    """Fail unless both databases can hold the text."""
    _check("\0" not in text, "a text with NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Flaw("cannot be stored: a text with half of a pair") from None


def _check_error(error: SyncjobError) -> None:
    """Fail unless the runs table can hold the error, and it gives nothing away."""
    _check_text(str(error))
    _check(not any(secret in str(error) for secret in SENT.values()), "an error that tells secrets")
    if isinstance(error, WeChatError):
        _check(error.errcode is None or error.errcode in BIGINT, "errcode")
        _check_text(error.rid or "")


def _check_page(page: FollowerPage) -> None:
    _check(len(set(page.openids)) == len(page.openids), "an OpenID that is there twice")
    _check(page.next_openid == page.next_openid.strip(), "next_openid")
    _check(page.total is None or page.total in BIGINT, "total")
    _check(page.skipped >= 0, "skipped")
    for openid in (*page.openids, page.next_openid):
        _check_text(openid)
    _check(all(openid.strip() for openid in page.openids), "a blank OpenID")


def _check_user(user: UserInfo) -> None:
    _check(isinstance(user.openid, str) and bool(user.openid.strip()), "openid")
    _check(user.subscribe in (None, 0, 1), "subscribe")
    _check(user.sex is None or -(2**15) <= user.sex < 2**15, "sex")
    if user.subscribe_time is not None:
        _check(datetime.fromtimestamp(user.subscribe_time, UTC).year >= 1970, "subscribe_time")
    tagids = user.tagid_list or []
    for number in (user.groupid, user.qr_scene, *tagids):
        _check(number is None or (type(number) is int and number in BIGINT), "a number")
    for text in (
        *(user.openid, user.nickname, user.language, user.city, user.province, user.country),
        *(user.headimgurl, user.unionid, user.remark, user.subscribe_scene, user.qr_scene_str),
    ):
        _check_text(text or "")
    if user.extra is not None:
        json.dumps(user.extra, allow_nan=False)  # as it is stored
        _check_json(user.extra)


def _check_json(value: Any) -> None:
    """Check every text of a JSON value, which may be deeper than Python calls."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                _check_text(text)
            case dict() as inner:
                left += [*inner.keys(), *inner.values()]
            case list() as entries:
                left += entries


if __name__ == "__main__":
    sys.exit(main())
