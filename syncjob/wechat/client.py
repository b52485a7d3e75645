"""WeChat's API as the job needs it: one method for each endpoint; tokens are handled here."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from msgspec import Struct

from syncjob.errors import (
    SyncjobError,
    TokenRejected,
    WeChatError,
    WeChatUnavailable,
    in_one_line,
)
from syncjob.model.quota import QuotaInfo
from syncjob.model.replies import FollowerPage, RequestInfo
from syncjob.model.runs import Traffic
from syncjob.model.user_info import (
    UserInfo,
    documented_user_infos,
    user_info_from_json,
    user_infos_from_json,
)
from syncjob.wechat.endpoint import Endpoint
from syncjob.wechat.quotas import Quotas
from syncjob.wechat.tokens import Tokens, contested
from syncjob.wechat.transport import Transport

logger = logging.getLogger(__name__)

T = TypeVar("T")

USER_GET = Endpoint(
    method="GET",
    path="/cgi-bin/user/get",
    parse=FollowerPage.from_json,
    keys=frozenset({"total", "count", "next_openid"}),
)
USER_INFO = Endpoint(
    method="GET",
    path="/cgi-bin/user/info",
    parse=user_info_from_json,
    keys=frozenset({"openid", "subscribe"}),
)
USER_INFO_BATCHGET = Endpoint(
    method="POST",
    path="/cgi-bin/user/info/batchget",
    parse=user_infos_from_json,
    keys=frozenset({"user_info_list"}),
    documented=documented_user_infos,
    # Garbled twice means that one user's text garbles it: halve the batch to find the user.
    garbled_attempts=2,
)
# The answer is useful but not needed: one attempt.
QUOTA_GET = Endpoint(
    method="POST",
    path="/cgi-bin/openapi/quota/get",
    parse=QuotaInfo.from_json,
    keys=frozenset({"quota"}),
    attempts=1,
)
RID_GET = Endpoint(
    method="POST",
    path="/cgi-bin/openapi/rid/get",
    parse=RequestInfo.from_json,
    keys=frozenset({"request"}),
    attempts=1,
)


class _User(Struct, gc=False):
    """An entry of the user_list of user/info/batchget."""

    openid: str
    lang: str


class WeChatClient:
    """The calls of one account. Raises the errors of syncjob.errors, and no others.

    `quotas` may refuse a call. `gate` refuses calls that would meet a known refusal; any thread may
    close it.
    """

    def __init__(
        self, transport: Transport, tokens: Tokens, *, lang: str, quotas: Quotas | None = None
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._lang = lang
        self._quotas = quotas
        self._quota_refused = False
        self.gate = transport.gate

    @property
    def traffic(self) -> Traffic:
        """The requests sent so far, those for tokens included."""
        return self._transport.traffic

    @property
    def token_source(self) -> str:
        """Where the current token came from, in words."""
        return self._tokens.source_name

    def forget_token(self) -> None:
        """Drop the stored token if this run used it, so that the next run fetches one."""
        self._tokens.forget()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def get_followers(self, next_openid: str) -> FollowerPage:
        """Return the page of the follower list after `next_openid`, the first one for "".

        The cursor is left out for the first page: an empty one was reported to give 40003
        (node-webot/wechat#36). Raises InvalidOpenID where WeChat rejects the cursor.
        """
        params = {"next_openid": next_openid} if next_openid else {}
        page = self._call(USER_GET, params=params)
        if self._quotas is not None:
            self._quotas.note_total(page.total)
        return page

    def get_user_infos(
        self, openids: Sequence[str], *, attempts: int | None = None
    ) -> list[UserInfo]:
        """Return the profiles of up to 100 OpenIDs, in any order; some may be missing.

        Sends at most `attempts` requests, if given. Raises InvalidOpenID if WeChat rejects one of
        them; it does not say which.
        """
        body = {"user_list": [_User(openid, self._lang) for openid in openids]}
        return self._call(_with_attempts(USER_INFO_BATCHGET, attempts), body=body)

    def get_user_info(self, openid: str, *, attempts: int | None = None) -> UserInfo:
        """Return the profile of one OpenID, follower or not, in at most `attempts` requests.

        Slower than a batch, and correct where batches were seen to be wrong
        (developers.weixin.qq.com/community/personal/oCJUsw8RYzSIr2CfHGVsPKPMmIwE/follow).
        Raises InvalidOpenID or NoSuchUser where WeChat rejects it.
        """
        params = {"openid": openid, "lang": self._lang}
        return self._call(_with_attempts(USER_INFO, attempts), params=params)

    def prepare(self, endpoint: Endpoint[Any]) -> str:
        """Return a token and fetch the endpoint's quota, so that its next call is one request."""
        self.gate.check(endpoint.path)
        token = self._tokens.get()
        try:
            self._learn(endpoint, token)
        except TokenRejected as rejected:
            token = self._tokens.replace(token, rejected)
            self._learn(endpoint, token)
        return token

    def probe(self, openids: Sequence[str]) -> None:
        """Make a cheap call, to see whether the account's calls are answered.

        Fetches a token if none is stored; otherwise asks about the OpenIDs, one after another,
        until WeChat answers. If it refuses several of them, raises the last refusal; a single
        refusal concerns that OpenID alone.
        """
        calls = self.traffic.calls
        self._tokens.get()
        if self.traffic.calls > calls:
            return
        refusals: list[WeChatError] = []
        for openid in openids:
            try:
                params = {"openid": openid, "lang": self._lang}
                self._call(USER_INFO, params=params, learn=False)
                return
            except WeChatError as error:
                if not error.of_one_openid or isinstance(error, WeChatUnavailable):
                    raise
                refusals.append(error)
        if len(refusals) > 1:
            raise refusals[-1]

    def _call(
        self,
        endpoint: Endpoint[T],
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        learn: bool = True,
    ) -> T:
        """Call with the account's token; once more with another one if WeChat rejects it.

        `learn`: fetch the endpoint's quota first, which costs a call a day.
        """

        def with_token(token: str) -> T:
            query = {"access_token": token, **(params or {})}
            return self._transport.call(endpoint, params=query, body=body)

        try:
            token = self.prepare(endpoint) if learn else self._tokens.get()
            try:
                return with_token(token)
            except TokenRejected as rejected:
                token = self._tokens.replace(token, rejected)
            try:
                return with_token(token)
            except TokenRejected as rejected:
                raise contested(rejected) from None
        except SyncjobError as error:
            self.gate.note(endpoint, error)
            raise

    def _learn(self, endpoint: Endpoint[Any], token: str) -> None:
        if self._quotas is not None:
            self._quotas.learn(endpoint.path, lambda: self._ask_quota(endpoint.path, token))

    def _ask_quota(self, cgi_path: str, token: str) -> QuotaInfo | None:
        """Return what is left of an endpoint's daily quota, None if WeChat does not answer.

        Raises TokenRejected the first time the token is rejected, so that it is replaced. If the
        endpoint rejects the new one too, no further token is spent on it.
        """
        try:
            return self._transport.call(
                QUOTA_GET, params={"access_token": token}, body={"cgi_path": cgi_path}
            )
        except WeChatError as error:
            if isinstance(error, TokenRejected) and not self._quota_refused:
                self._quota_refused = True
                raise
            reason = in_one_line(error)
            logger.info("WeChat tells no quota. cgi_path=%s reason=%s", cgi_path, reason)
            return None


def _with_attempts(endpoint: Endpoint[T], attempts: int | None) -> Endpoint[T]:
    """Return the endpoint with another limit of attempts."""
    return endpoint if attempts is None else replace(endpoint, attempts=attempts)
