"""Creates the store and the client of an account from its settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep

from syncjob.config import Settings
from syncjob.database.store import Store, open_store
from syncjob.job.process import is_dead, this_process
from syncjob.log_context import start_log_fields
from syncjob.model.accounts import Account
from syncjob.model.pseudonyms import Pseudonyms
from syncjob.model.quota import QuotaInfo, QuotaState
from syncjob.model.replies import AccessToken, TokenClaim
from syncjob.wechat.client import WeChatClient
from syncjob.wechat.quotas import Quotas
from syncjob.wechat.token_sources import (
    ClassicToken,
    FixedToken,
    StableToken,
    TokenCommand,
    TokenSource,
    TokenURL,
)
from syncjob.wechat.tokens import Tokens
from syncjob.wechat.transport import Transport


@dataclass(frozen=True, slots=True)
class Job:
    """The store, the client and the account of a run."""

    store: Store
    client: WeChatClient
    account: Account
    quotas: Quotas


@contextmanager
def open_job(settings: Settings) -> Iterator[Job]:
    """Open the store and the client of an account; close both at the end of the block.

    Raises DatabaseError, before anything is written, if the database is not ready.
    """
    start_log_fields(appid=settings.account.appid)
    with ExitStack() as stack:
        store = stack.enter_context(
            open_store(
                settings.database_url.reveal(),
                name=f"syncjob/{settings.account.appid}",
                only_account=settings.only_account,
                patience=settings.database_patience,
            )
        )
        account = store.accounts.save(settings.account.appid)
        quotas = Quotas(
            _AccountQuotas(store, account.id),
            reserve=settings.account.quota_reserve,
            now=_clock_of(store),
        )
        transport = Transport(
            settings.api_url,
            timeout=settings.timeout,
            threads=settings.concurrency + 1,  # one more for the list
            quotas=quotas,
            sleep=sleep,
        )
        stack.callback(transport.close)
        source = token_source(settings, transport, stack)
        pseudonyms = Pseudonyms(account.hash_key)
        credentials = pseudonyms.fingerprint(settings.account.appsecret.reveal())
        token_store = _AccountTokens(store, account.id, credentials)
        tokens = Tokens(source, token_store, sleep=sleep)
        client = WeChatClient(transport, tokens, lang=settings.account.lang, quotas=quotas)
        yield Job(store, client, account, quotas)


@dataclass(frozen=True, slots=True)
class _AccountTokens:
    """The tokens of one account in the store."""

    store: Store
    account_id: int
    credentials: str

    def get(self) -> str | None:
        return self.store.tokens.get(self.account_id, self.credentials)

    def claim(self, rejected: str | None) -> TokenClaim:
        return self.store.tokens.claim(
            self.account_id,
            rejected=rejected,
            credentials=self.credentials,
            holder=this_process(),
            is_dead=is_dead,
        )

    def save(self, token: AccessToken, generation: int) -> str:
        return self.store.tokens.save(self.account_id, token, generation, self.credentials)

    def give_up(self, generation: int) -> None:
        self.store.tokens.give_up(self.account_id, generation)

    def forget(self, token: str) -> None:
        self.store.tokens.forget(self.account_id, token)


@dataclass(frozen=True, slots=True)
class _AccountQuotas:
    """The quotas of one account in the store."""

    store: Store
    account_id: int

    def get(self, cgi_path: str) -> QuotaState:
        return self.store.quotas.get(self.account_id, cgi_path)

    def save(self, cgi_path: str, reported: QuotaInfo) -> None:
        self.store.quotas.save(self.account_id, cgi_path, reported)


def _clock_of(store: Store) -> Callable[[], datetime]:
    """Return a clock that reads the database's time once, here, and adds the elapsed time."""
    begun, since = store.get_now(), monotonic()
    return lambda: begun + timedelta(seconds=monotonic() - since)


def token_source(settings: Settings, transport: Transport, stack: ExitStack) -> TokenSource:
    """Create the token source that the settings select; `stack` closes it."""
    match settings.account.token_source:
        case "stable":
            return StableToken(
                transport, settings.account.appid, settings.account.appsecret.reveal()
            )
        case "classic":
            return ClassicToken(
                transport, settings.account.appid, settings.account.appsecret.reveal()
            )
        case "url":
            server = Transport(
                settings.account.token_url.reveal(),
                timeout=settings.timeout,
                name="the token server of SYNCJOB_TOKEN_URL",
                sleep=sleep,
            )
            stack.callback(server.close)
            return TokenURL(server)
        case "command":
            return TokenCommand(settings.account.token_command)
        case "fixed":
            return FixedToken(settings.account.access_token.reveal())
