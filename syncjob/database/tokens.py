"""Access tokens that all processes of an account share.

Whoever wants to fetch a new token claims that first, so that of many that want one only one asks
WeChat. Each claim raises the row's `generation`, and only the newest claim may store its token: a
late writer of an older token loses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, literal, or_, select, true, update

from syncjob.database.clock import DatabaseClock
from syncjob.database.tables import access_tokens
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.model.replies import AccessToken, TokenClaim

# How long others wait for the process that fetches; with all its retries, a call may take longer.
CLAIM = timedelta(seconds=60)


@dataclass
class Tokens:
    """The stored access token of each account."""

    database: Database

    @reads
    def get(self, tx: Transaction, account_id: int, credentials: str | None = None) -> str | None:
        """Return the stored token, if it is fresh and not of other credentials."""
        return _get(tx, account_id, credentials)

    @writes
    def claim(
        self,
        tx: Transaction,
        account_id: int,
        *,
        rejected: str | None,
        credentials: str | None = None,
        holder: str,
        is_dead: Callable[[str], bool] = lambda holder: False,
    ) -> TokenClaim:
        """Return a good token other than the `rejected` one, or the right to fetch one.

        Neither, if another process is fetching one and is not known to be dead. A token that is
        known to be of other `credentials` is not a good one; None: whatever they are.
        """
        now = tx.clock.now()
        empty = tx.dialect.insert(access_tokens).values(
            account_id=account_id, access_token="", fetched_at=now, refresh_at=now
        )
        tx.connection.execute(tx.dialect.or_ignore(empty))
        row = tx.connection.execute(
            select(
                access_tokens,
                _is_good(tx.clock, credentials).label("is_good"),
                and_(
                    access_tokens.c.fetching_until > tx.clock.now(),
                    # Only a clock that was set back since leaves it that far in the future.
                    access_tokens.c.fetching_until <= tx.clock.now(CLAIM),
                ).label("is_claimed"),
            )
            .where(access_tokens.c.account_id == account_id)
            .with_for_update()
        ).one()
        if row.is_good and row.access_token != rejected:
            return TokenClaim(token=row.access_token)
        if row.is_claimed and row.fetching_by is not None and not is_dead(row.fetching_by):
            return TokenClaim()
        generation = row.generation + 1
        claimed = {"fetching_until": tx.clock.now(CLAIM), "fetching_by": holder}
        tx.connection.execute(
            update(access_tokens)
            .where(access_tokens.c.account_id == account_id)
            .values(generation=generation, **claimed)
        )
        return TokenClaim(generation=generation)

    @writes
    def save(
        self,
        tx: Transaction,
        account_id: int,
        token: AccessToken,
        generation: int,
        credentials: str | None = None,
    ) -> str:
        """Store the token that a claim fetched, and return the one to use.

        If another claim was made meanwhile, nothing is stored, and the token of that one returned.
        """
        values: dict[str, Any] = {
            "access_token": token.value,
            "fetched_at": tx.clock.now(),
            "refresh_at": tx.clock.now(timedelta(seconds=token.usable_for or 0)),
            "fetching_until": None,
            "fetching_by": None,
            "credentials": credentials,
        }
        stored = update(access_tokens).where(_is_claim(account_id, generation)).values(**values)
        if tx.connection.execute(stored).rowcount == 1:
            return token.value
        return _get(tx, account_id, credentials) or token.value

    @writes
    def give_up(self, tx: Transaction, account_id: int, generation: int) -> None:
        """End a claim that got no token: nobody needs to wait for it."""
        tx.connection.execute(
            update(access_tokens)
            .where(_is_claim(account_id, generation))
            .values(fetching_until=None, fetching_by=None)
        )

    @writes
    def forget(self, tx: Transaction, account_id: int, token: str) -> None:
        """Have the next run fetch a token, if this one is the stored one."""
        tx.connection.execute(
            update(access_tokens)
            .where(access_tokens.c.account_id == account_id, access_tokens.c.access_token == token)
            .values(refresh_at=tx.clock.now())
        )


def _get(tx: Transaction, account_id: int, credentials: str | None) -> str | None:
    return tx.connection.execute(
        select(access_tokens.c.access_token).where(
            access_tokens.c.account_id == account_id, _is_good(tx.clock, credentials)
        )
    ).scalar_one_or_none()


def _is_good(clock: DatabaseClock, credentials: str | None) -> ColumnElement[bool]:
    known = access_tokens.c.credentials
    return and_(
        access_tokens.c.refresh_at > clock.now(),
        access_tokens.c.access_token != literal(""),
        true() if credentials is None else or_(known.is_(None), known == credentials),
    )


def _is_claim(account_id: int, generation: int) -> ColumnElement[bool]:
    return and_(access_tokens.c.account_id == account_id, access_tokens.c.generation == generation)
