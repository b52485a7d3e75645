"""WeChat's endpoints as a function of requests: no sockets, no threads, no sleeping.

`Api.answer` takes a parsed HTTP request and returns an answer. The order of the checks is here;
the answers of each endpoint are in the other modules.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from syncjob.simulator.account import Account
from syncjob.simulator.answers import Answer, ErrorBodies
from syncjob.simulator.credentials import Credentials
from syncjob.simulator.details import asked_openids, batch_info, user_info
from syncjob.simulator.faults import FaultScript, faulty_answer
from syncjob.simulator.listing import list_page
from syncjob.simulator.quotas import Quotas
from syncjob.simulator.rids import Rids
from syncjob.simulator.switches import ENDPOINTS, Switches

_PREFIX = "/cgi-bin/"
_DEFAULT_DAILY_LIMIT = 5_000_000  # calls a day
_SECRETS = ("access_token", "secret")
_POST_ONLY = ("stable_token", "user/info/batchget", "openapi/quota/get", "openapi/rid/get")


@dataclass
class Request:
    """A received call: `params` without token and secret, `openids` of a batchget.

    `errcode` (None for success) and `fault` (the spec that matched) are set with the answer.
    """

    endpoint: str
    params: dict[str, str] = field(default_factory=dict)
    openids: tuple[str, ...] = ()
    errcode: int | None = None
    fault: str | None = None


class Api:
    """The API of one account. Not thread-safe: only one thread may call `answer`."""

    def __init__(self, account: Account, switches: Switches, clock: Callable[[], float]) -> None:
        self.account = account
        self.switches = switches
        self.credentials = Credentials(account.seed)
        self.quotas = Quotas()
        self.faults = FaultScript()
        self.counts: Counter[str] = Counter()
        self.requests: list[Request] = []
        self.record = True
        self.on_request: Callable[[Request], object] | None = None
        self._clock = clock
        self._errors = ErrorBodies(account.seed)
        self._rids = Rids()
        self._dice = random.Random(f"churn {account.seed}")
        self._business_calls = 0

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one HTTP request; `target` is path and query, `headers` have lower-case names.

        Counts and records the call, and applies the fault that matches it.
        """
        path, _, query = target.partition("?")
        endpoint = path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else path
        params = dict(parse_qsl(query, keep_blank_values=True))
        if endpoint == "user/get" and method == "POST":  # reported once to work with a form
            params |= dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
        openids = asked_openids(body) if endpoint == "user/info/batchget" else None
        shown = {name: value for name, value in params.items() if name not in _SECRETS}
        if endpoint == "stable_token":
            shown |= _without_secrets(body)
        request = Request(endpoint, shown, openids or ())
        self.counts[endpoint] += 1
        call, overall = self.counts[endpoint], self.counts.total()
        if self.record:
            self.requests.append(request)
        if self.on_request is not None:
            self.on_request(request)

        def normal() -> Answer:
            return self._normal(method, endpoint, params, headers, body, openids)

        fault = self.faults.find(endpoint, call, overall)
        asked = openids or (params.get("openid", ""),)
        what = fault.what if fault is not None else self.account.failure(asked)
        request.fault = None if fault is None else fault.spec
        answer = normal() if what is None else faulty_answer(what, normal, self._error)
        request.errcode = answer.errcode
        self._rids.keep(answer.body, target, self._clock())
        return replace(answer, clock_off=self.switches.clock_off)

    def _normal(
        self,
        method: str,
        endpoint: str,
        params: dict[str, str],
        headers: Mapping[str, str],
        body: bytes,
        openids: tuple[str, ...] | None,
    ) -> Answer:
        if method == "POST" and "chunked" in headers.get("transfer-encoding", "").lower():
            return Answer(status=412)  # WeChat requires a Content-Length
        if endpoint not in ENDPOINTS:
            return self._error(40066)
        if endpoint in _POST_ONLY and method != "POST":
            return self._error(43002)
        if endpoint == "token":
            return self._token(params)
        if endpoint == "stable_token":
            return self._stable_token(body)
        errcode = self.credentials.check_token(params.get("access_token"), self._clock())
        errcode = errcode or self._spend(endpoint)
        if errcode:
            return self._error(errcode)
        if endpoint == "openapi/quota/get":
            said: str | int = self._quota_info(body)
        elif endpoint == "openapi/rid/get":
            said = self._rids.answer(body)
        elif endpoint == "user/get":
            said = list_page(self.account, self.switches, params.get("next_openid"))
        elif endpoint == "user/info":
            said = user_info(self.account, params.get("openid", ""))
        elif openids is None:
            said = 47001 if body else 44002
        else:
            said = batch_info(self.account, self.switches, openids, self._dice)
        self._act_as_others()
        if isinstance(said, int):
            return self._error(said)
        # Raw bytes that are not UTF-8 are lone surrogates in the text.
        return Answer(said.encode("utf-8", "surrogateescape"))

    def _quota_info(self, body: bytes) -> str | int:
        """Return the answer of openapi/quota/get, or an errcode."""
        try:
            cgi_path = json.loads(body)["cgi_path"]
        except (ValueError, TypeError, KeyError):
            return 47001
        if not isinstance(cgi_path, str) or not cgi_path.startswith("/"):
            return 76003
        endpoint = cgi_path.removeprefix(_PREFIX)
        if endpoint not in ENDPOINTS:
            return 76021
        limit = self.switches.daily_quota.get(endpoint, _DEFAULT_DAILY_LIMIT)
        used = min(limit, self.quotas.spent_today(endpoint, self._clock()))
        quota = {"daily_limit": limit, "used": used, "remain": limit - used}
        return json.dumps({"errcode": 0, "errmsg": "ok", "quota": quota})

    def _token(self, params: dict[str, str]) -> Answer:
        names = ("grant_type", "appid", "secret")
        errcode = self.credentials.check_secret(*(params.get(name) for name in names))
        errcode = errcode or self._spend("token")
        if errcode:
            return self._error(errcode)
        return _token_answer(*self.credentials.issue(self._clock(), self.switches.token_lifetime))

    def _stable_token(self, body: bytes) -> Answer:
        try:
            asked = json.loads(body)
        except ValueError:
            return self._error(47001 if body else 44002)
        if not isinstance(asked, dict):
            return self._error(47001)
        names = ("grant_type", "appid", "secret")
        errcode = self.credentials.check_secret(*(asked.get(name) for name in names))
        errcode = errcode or self._spend("stable_token")
        if errcode:
            return self._error(errcode)
        force = asked.get("force_refresh") is True
        lifetime = self.switches.token_lifetime
        return _token_answer(*self.credentials.issue_stable(self._clock(), lifetime, force=force))

    def _spend(self, endpoint: str) -> int:
        daily = self.switches.daily_quota.get(endpoint)
        minute = self.switches.minute_quota.get(endpoint)
        return self.quotas.spend(endpoint, self._clock(), daily=daily, minute=minute)

    def _act_as_others(self) -> None:
        """Refresh the token, follow and unfollow, as others do between two calls."""
        self._business_calls += 1
        switches, calls = self.switches, self._business_calls
        if switches.intruder_every and calls % switches.intruder_every == 0:
            self.credentials.kill(self._clock())
        room = self.account.ever < self.account.end
        if switches.join_every and calls % switches.join_every == 0 and room:
            self.account.follow()
        if switches.leave_every and calls % switches.leave_every == 0 and self.account.total:
            index = self._dice.randrange(self.account.ever)
            while not self.account.follows(index):
                index = (index + 1) % self.account.ever
            self.account.unfollow(self.account.openid(index))

    def _error(self, errcode: int, quoted: bool = False) -> Answer:
        return self._errors.answer(errcode, self._clock(), quoted=quoted)


def _token_answer(token: str, expires_in: int) -> Answer:
    return Answer(f'{{"access_token":"{token}","expires_in":{expires_in}}}'.encode())


def _without_secrets(body: bytes) -> dict[str, str]:
    try:
        asked = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(asked, dict):
        return {}
    return {name: str(value) for name, value in asked.items() if name not in _SECRETS}
