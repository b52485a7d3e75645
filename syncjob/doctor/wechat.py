"""Checks token, permissions and quotas by one call of each endpoint, without retries."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from syncjob.bootstrap import token_source
from syncjob.config import Settings
from syncjob.doctor.findings import Finding, from_error, note, ok, unchecked, warning
from syncjob.errors import (
    ForeignList,
    InvalidOpenID,
    NeedsOperator,
    NoSuchUser,
    SyncjobError,
    TokenRejected,
    WeChatError,
)
from syncjob.model.openids import common_prefix
from syncjob.model.quota import QuotaInfo, reserved_of
from syncjob.model.replies import FollowerPage
from syncjob.model.runs import Run
from syncjob.wechat.client import QUOTA_GET, RID_GET, USER_GET, USER_INFO, USER_INFO_BATCHGET
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.token_sources import TokenSource
from syncjob.wechat.transport import Transport

LONGEST = 10.0  # seconds
ASKED = (USER_GET, USER_INFO_BATCHGET, USER_INFO)
LOW = 0.1  # of a day's calls
OF_A_TEST_ACCOUNT = 100  # lists a day (doc/service/Message_Management/API_Call_Limits.html)
STORED = "the table access_tokens"
RID_LIVES = timedelta(days=7)


# Takes the first page of the list and the name of its token source; raises ForeignList.
RequireOwn = Callable[[FollowerPage, str], None]


def check_wechat(
    settings: Settings,
    *,
    stored_token: str | None,
    openid: str | None,
    last_error: Run | None,
    require_own: RequireOwn,
) -> Iterator[Finding]:
    """Get a token, call each endpoint once, ask for quotas, and look up the last error.

    `stored_token` is the one that the runs share, `openid` any follower's, `last_error` the newest
    run with the rid of an error.
    """
    with ExitStack() as stack:
        timeout = min(settings.timeout, LONGEST)
        transport = Transport(settings.api_url, timeout=timeout, patient=False)
        stack.callback(transport.close)
        source = token_source(settings, transport, stack)
        token, findings = _token(settings, source, stored_token)
        yield from findings
        if token is None:
            for check in ("permission", "quota"):
                yield unchecked(check, "there is no token")
            return
        account = _Account(transport, token, settings.account.lang)
        yield from account.check_permissions(openid)
        if account.token_refused:
            yield unchecked("quota", "the token was refused")
            return
        is_stored = token == stored_token
        yield from _whose_list(account.page, STORED if is_stored else source.name, require_own)
        if source.shared and stored_token and not is_stored:
            page = _Account(transport, stored_token, settings.account.lang).get_page()
            yield from _whose_list(page, STORED, require_own)
        yield from account.check_quotas(settings.account.quota_reserve)
        if last_error is not None and last_error.rid is not None:
            yield account.look_up(last_error, last_error.rid)


def _whose_list(
    page: FollowerPage | None, token_source: str, require_own: RequireOwn
) -> Iterator[Finding]:
    if page is None or not page.openids:
        return
    try:
        require_own(page, token_source)
    except ForeignList as error:
        yield from_error("list", error)
        return
    prefix = common_prefix(min(page.openids), max(page.openids))
    if prefix is not None:
        yield ok("list", f"its OpenIDs begin with {prefix}")


def _token(
    settings: Settings, where: TokenSource, stored: str | None
) -> tuple[str | None, list[Finding]]:
    """Return a token, None if there is none, and the findings about its source."""
    source = settings.account.token_source
    if source == "classic":
        if stored is None:
            why = "fetching a classic token would kill those of other programs; run sync first"
            return None, [unchecked("token", why)]
        return stored, [note("token", "the stored one is used; fetching one would kill others'")]
    try:
        token = where.get_new().value
    except SyncjobError as error:
        return None, [from_error("token", error)]
    findings = [ok("token", f"comes from {source}: credentials and address are accepted")]
    if source in ("url", "command", "fixed"):
        findings = [ok("token", f"comes from {source}")]
    elif stored is not None and stored != token:
        findings.append(
            note(
                "token", "the stored one is not WeChat's newest; the next run sees whether it lives"
            )
        )
    return token, findings


class _Account:
    """Calls with one token. `token_refused`: WeChat has refused it; `page`: the first page."""

    def __init__(self, transport: Transport, token: str, lang: str) -> None:
        self._transport = transport
        self._token = token
        self._lang = lang
        self.token_refused = False
        self.page: FollowerPage | None = None

    def get_page(self) -> FollowerPage | None:
        """Return the first page of the list, None if WeChat refuses it."""
        with suppress(WeChatError):
            return cast(FollowerPage, self._call(USER_GET))
        return None

    def check_permissions(self, openid: str | None) -> Iterator[Finding]:
        """Call each endpoint once, as a run does."""
        try:
            page = self.page = self._call(USER_GET)
            yield ok("permission", f"{USER_GET.path}: {page.total or 0:,} followers")
            openid = openid or next(iter(page.openids), None)
        except WeChatError as error:
            yield self._refusal(USER_GET, error)
            if self.token_refused:
                return
        if openid is None:
            for endpoint in (USER_INFO_BATCHGET, USER_INFO):
                yield unchecked("permission", f"{endpoint.path}: nobody is known to be asked about")
            return
        person: dict[str, Any] = {"openid": openid, "lang": self._lang}
        for endpoint, arguments in (
            (USER_INFO_BATCHGET, {"body": {"user_list": [person]}}),
            (USER_INFO, {"params": person}),
        ):
            try:
                self._call(endpoint, **arguments)
            except (InvalidOpenID, NoSuchUser):  # the call is permitted; the user has left
                yield ok("permission", endpoint.path)
            except WeChatError as error:
                yield self._refusal(endpoint, error)
            else:
                yield ok("permission", endpoint.path)

    def check_quotas(self, reserve: float | None) -> Iterator[Finding]:
        """Ask what is left of each endpoint's quota today."""
        for endpoint in ASKED:
            try:
                told_quota = self._call(QUOTA_GET, body={"cgi_path": endpoint.path})
            except WeChatError as error:
                what = str(error).partition("\n")[0]
                yield note("quota", f"{endpoint.path}: WeChat does not tell: {what}")
                continue
            yield self._of_quota(endpoint.path, told_quota, reserve)

    def _of_quota(self, path: str, quota: QuotaInfo, reserve: float | None) -> Finding:
        what = f"{path}: {quota.remain:,} of {quota.daily_limit:,} calls are left today"
        if quota.remain == 0:
            return warning("quota", what, "nothing: it is whole again after midnight in Beijing")
        if quota.remain <= reserved_of(quota.daily_limit, reserve):
            return warning(
                "quota",
                f"{what}, all of them reserved for other programs",
                "nothing, until midnight in Beijing; or a smaller SYNCJOB_QUOTA_RESERVE",
            )
        if quota.remain < LOW * quota.daily_limit:
            return warning("quota", what, "see who spends it: syncjob quota")
        if path == USER_GET.path and quota.daily_limit <= OF_A_TEST_ACCOUNT:
            return note("quota", f"{what}: the limit of a test account")
        return ok("quota", what)

    def look_up(self, run: Run, rid: str) -> Finding:
        """Look the last error up by its rid."""
        what = f"the error {run.errcode} of run #{run.id} (rid {rid})"
        if run.finished_at is not None and datetime.now(UTC) - run.finished_at > RID_LIVES:
            return note("last error", f"{what} is older than the seven days that WeChat keeps it")
        try:
            request = self._call(RID_GET, body={"rid": rid})
        except WeChatError as error:
            said = str(error).partition("\n")[0]
            return note("last error", f"{what} cannot be looked up: {said}")
        if request.invoke_time is not None:
            at = datetime.fromtimestamp(request.invoke_time, UTC)
            what += f" was asked at {at:%Y-%m-%d %H:%M:%S} UTC"
        if request.client_ip:
            what += f" from {request.client_ip}"
        if request.cost is not None:
            what += f" and took {request.cost} ms"
        return note("last error", what)

    def _call(
        self,
        endpoint: Endpoint[Any],
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Any:
        query = {"access_token": self._token, **(params or {})}
        return self._transport.call(endpoint, params=query, body=body)

    def _refusal(self, endpoint: Endpoint[Any], error: WeChatError) -> Finding:
        if isinstance(error, TokenRejected):
            self.token_refused = True
            said = str(error).partition("\n")[0]
            cure = (
                "if it stays so, another program refreshes it: let all use stable_token, or take "
                "the token from one place (SYNCJOB_TOKEN_SOURCE)"
            )
            return from_error("token", NeedsOperator(f"{said}\n{cure}", errcode=error.errcode))
        return from_error("permission", error)
