"""Statements on quarantine: OpenIDs that WeChat refuses, or answers in ways not to be believed."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, case, delete, update

from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert, openid_rows
from syncjob.database.tables import quarantine
from syncjob.model import Refusal


def put(connection: Connection, clock: DatabaseClock, account_id: int, refusal: Refusal) -> None:
    """Record that an OpenID failed by itself, and when to ask again: after 1 h, 1 d, then 7 d."""
    statement = insert(connection.dialect)(quarantine).values(
        account_id=account_id,
        openid=refusal.openid,
        errcode=refusal.errcode,
        reason=refusal.reason,
        rid=refusal.rid,
        attempts=1,
        first_failed_at=clock.now(),
        next_try_at=clock.now(timedelta(hours=1)),
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["account_id", "openid"],
            set_={
                "errcode": statement.excluded.errcode,
                "reason": statement.excluded.reason,
                "rid": statement.excluded.rid,
                "attempts": quarantine.c.attempts + 1,
                "next_try_at": case(
                    (quarantine.c.attempts == 0, statement.excluded.next_try_at),
                    (quarantine.c.attempts == 1, clock.now(timedelta(days=1))),
                    else_=clock.now(timedelta(days=7)),
                ),
            },
        )
    )


def restart(connection: Connection, account_id: int, openids: Sequence[str]) -> None:
    """Begin again with the pauses of those of these who are in it."""
    connection.execute(
        update(quarantine)
        .where(
            quarantine.c.account_id == account_id,
            quarantine.c.openid.in_(openid_rows(connection, openids)),
        )
        .values(attempts=0)
    )


def let_out(connection: Connection, account_id: int, openids: Sequence[str]) -> None:
    """Forget that these ever failed."""
    connection.execute(
        delete(quarantine).where(
            quarantine.c.account_id == account_id,
            quarantine.c.openid.in_(openid_rows(connection, openids)),
        )
    )
