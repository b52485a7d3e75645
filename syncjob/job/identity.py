"""Whether a follower list belongs to the account: a token of another account lists other people.

Two signs are compared with what is stored: whether the list shares a follower with the table, and
how its OpenIDs begin. The first sync of an account has nothing to compare with.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from syncjob.database.store import Store
from syncjob.errors import ForeignList
from syncjob.model.accounts import Account
from syncjob.model.openids import common_prefix
from syncjob.model.replies import FollowerPage

# A page that should hold so many stored followers, and holds none, is of another account, whatever
# its OpenIDs begin with. A smaller account may have lost all followers and won others meanwhile.
CERTAIN = 50
# So many OpenIDs are looked up first: one known OpenID of them settles the question.
SAMPLE_SIZE = 20


class OwnList:
    """Recognises the pages of one account's list. Stateful: one object for one run.

    `get_token_source` names where the token came from, for the error. With `accept` every list is
    believed.
    """

    def __init__(
        self,
        store: Store,
        account: Account,
        *,
        get_token_source: Callable[[], str],
        accept: bool = False,
    ) -> None:
        self._store = store
        self._account = account
        self._get_token_source = get_token_source
        self._accept = accept
        # What pages after the first one are compared with. False: not looked up yet.
        self._prefix: str | Literal[False] | None = False

    def require_own(self, cursor: str, page: FollowerPage) -> None:
        """Raise ForeignList if the page behind `cursor` is certainly of another account's list.

        The first page is foreign if it shares nobody with the followers and begins otherwise, or
        should hold CERTAIN of them. A later page may well bring new people only: it is foreign if
        it shares nobody with the followers and begins otherwise than the pages before it.
        """
        if self._accept or not page.openids:
            return
        if not cursor or self._prefix is False:
            self._prefix = self._store.followers.get_openid_prefix(self._account.id)
        prefix = self._prefix
        if not cursor:
            if self._is_foreign_start(page, prefix):
                raise self._foreign(page, prefix)
            if len(page.openids) >= SAMPLE_SIZE:
                self._prefix = common_prefix(min(page.openids), max(page.openids))
            return
        begins_otherwise = prefix is not None and not _begins_with(prefix, page.openids)
        if begins_otherwise and not self._shares_somebody(page.openids):
            raise self._foreign(page, prefix)

    def _is_foreign_start(self, page: FollowerPage, prefix: str | None) -> bool:
        begins_otherwise = prefix is not None and not _begins_with(prefix, page.openids)
        share = len(page.openids) / max(len(page.openids), page.total or 0)
        enough = 1 if begins_otherwise else -int(-CERTAIN // share)
        # First, since a first sync then looks nobody up.
        if self._store.followers.count_subscribed(self._account.id, limit=enough) < enough:
            return False
        return not self._shares_somebody(page.openids)

    def _shares_somebody(self, openids: Sequence[str]) -> bool:
        sample = openids[:: len(openids) // SAMPLE_SIZE + 1]
        account_id = self._account.id
        return bool(
            self._store.followers.get_known(account_id, sample)
            or self._store.followers.get_known(account_id, openids)
        )

    def _foreign(self, page: FollowerPage, prefix: str | None) -> ForeignList:
        listed = common_prefix(min(page.openids), max(page.openids))
        begins = (
            f": its OpenIDs begin with {listed}, the stored ones with {prefix}"
            if listed and prefix and listed != prefix
            else ""
        )
        return ForeignList(
            "WeChat sent the follower list of another account: it shares nobody with the "
            f"followers of {self._account.appid}{begins}; nothing of it was stored\n"
            f"the access token came from {self._get_token_source()}; it must be a token of "
            f"{self._account.appid}. If the list is right, believe it once: "
            "syncjob sync --accept-list"
        )


def _begins_with(prefix: str, openids: Sequence[str]) -> bool:
    return any(openid.startswith(prefix) for openid in openids)
