"""Statements on access tokens. Each runs inside a transaction that the store opens."""

from datetime import timedelta

from sqlalchemy import Connection, select

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert
from syncjob.database.tables import access_tokens
from syncjob.model import AccessToken


def get(connection: Connection, clock: DatabaseClock, account_id: int) -> str | None:
    """Return the stored token, unless it is time for a new one."""
    return connection.execute(
        select(access_tokens.c.access_token).where(
            access_tokens.c.account_id == account_id, access_tokens.c.refresh_at > clock.now()
        )
    ).scalar_one_or_none()


def save(connection: Connection, clock: DatabaseClock, account_id: int, token: AccessToken) -> None:
    """Keep the token in place of the one before."""
    values = {
        "access_token": token.value,
        "fetched_at": clock.now(),
        "refresh_at": clock.now(timedelta(seconds=token.usable_for or 0)),
    }
    statement = insert(connection.dialect)(access_tokens).values(account_id=account_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=values))
