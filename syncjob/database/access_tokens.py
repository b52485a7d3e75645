"""Statements on access tokens. Each runs inside a transaction that the store opens.

Who wants to fetch a new token claims that first, so that of many who want one, one asks WeChat.
Each claim raises the row's `generation`, and only the newest may store what it brings: a late
writer of an older token loses.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, literal, or_, select, true, update

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert
from syncjob.database.tables import access_tokens
from syncjob.model import AccessToken, TokenClaim

# So long others wait for who fetches; with all its retries, a call may take longer than that.
CLAIM = timedelta(seconds=60)


def get(
    connection: Connection, clock: DatabaseClock, account_id: int, credentials: str | None
) -> str | None:
    """Return the stored token, unless it is time for a new one or it is of other credentials."""
    return connection.execute(
        select(access_tokens.c.access_token).where(
            access_tokens.c.account_id == account_id, _is_good(clock, credentials)
        )
    ).scalar_one_or_none()


def claim(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    rejected: str | None,
    credentials: str | None,
    holder: str,
    is_dead: Callable[[str], bool],
) -> TokenClaim:
    """Return a good token that is not the `rejected` one, or the right to fetch one, or neither."""
    empty = {"account_id": account_id, "access_token": "", "fetched_at": clock.now()}
    connection.execute(
        insert(connection.dialect)(access_tokens)
        .values(**empty, refresh_at=clock.now())
        .on_conflict_do_nothing()
    )
    row = connection.execute(
        select(
            access_tokens,
            _is_good(clock, credentials).label("is_good"),
            and_(
                access_tokens.c.fetching_until > clock.now(),
                # Only a clock that was set back since leaves it that far in the future.
                access_tokens.c.fetching_until <= clock.now(CLAIM),
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
    connection.execute(
        update(access_tokens)
        .where(access_tokens.c.account_id == account_id)
        .values(generation=generation, fetching_until=clock.now(CLAIM), fetching_by=holder)
    )
    return TokenClaim(generation=generation)


def save(
    connection: Connection,
    clock: DatabaseClock,
    account_id: int,
    token: AccessToken,
    generation: int,
    credentials: str | None,
) -> str:
    """Keep the token in place of the one before, and return the one to use.

    If another claim was made meanwhile, nothing is kept, and what that has brought is returned.
    """
    values: dict[str, Any] = {
        "access_token": token.value,
        "fetched_at": clock.now(),
        "refresh_at": clock.now(timedelta(seconds=token.usable_for or 0)),
        "fetching_until": None,
        "fetching_by": None,
        "credentials": credentials,
    }
    kept = update(access_tokens).where(_is_claim(account_id, generation)).values(**values)
    if connection.execute(kept).rowcount == 1:
        return token.value
    return get(connection, clock, account_id, credentials) or token.value


def give_up(connection: Connection, account_id: int, generation: int) -> None:
    """End a claim that has brought nothing: nobody need wait for it."""
    connection.execute(
        update(access_tokens)
        .where(_is_claim(account_id, generation))
        .values(fetching_until=None, fetching_by=None)
    )


def forget(connection: Connection, clock: DatabaseClock, account_id: int, token: str) -> None:
    """Have the next run fetch a token, if this one is the stored one."""
    connection.execute(
        update(access_tokens)
        .where(access_tokens.c.account_id == account_id, access_tokens.c.access_token == token)
        .values(refresh_at=clock.now())
    )


def _is_good(clock: DatabaseClock, credentials: str | None) -> ColumnElement[bool]:
    known = access_tokens.c.credentials
    return and_(
        access_tokens.c.refresh_at > clock.now(),
        access_tokens.c.access_token != literal(""),
        true() if credentials is None else or_(known.is_(None), known == credentials),
    )


def _is_claim(account_id: int, generation: int) -> ColumnElement[bool]:
    return and_(access_tokens.c.account_id == account_id, access_tokens.c.generation == generation)
