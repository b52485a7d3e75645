"""Statements on quarantine: OpenIDs that WeChat refuses, or whose answers cannot be trusted."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import case, delete, update

from syncjob.database.tables import quarantine
from syncjob.database.transactions import Transaction
from syncjob.model.answers import Refusal


def put(tx: Transaction, account_id: int, refusal: Refusal) -> None:
    """Record that an OpenID failed on its own; ask again after 1 hour, 1 day, then every 7 days."""
    statement = tx.dialect.insert(quarantine).values(
        account_id=account_id,
        openid=refusal.openid,
        errcode=refusal.errcode,
        reason=refusal.reason,
        rid=refusal.rid,
        attempts=1,
        first_failed_at=tx.clock.now(),
        next_try_at=tx.clock.now(timedelta(hours=1)),
    )
    proposed = tx.dialect.proposed(statement)
    values = {
        "errcode": proposed.errcode,
        "reason": proposed.reason,
        "rid": proposed.rid,
        "attempts": quarantine.c.attempts + 1,
        "next_try_at": case(
            (quarantine.c.attempts == 0, proposed.next_try_at),
            (quarantine.c.attempts == 1, tx.clock.now(timedelta(days=1))),
            else_=tx.clock.now(timedelta(days=7)),
        ),
    }
    tx.connection.execute(tx.dialect.or_update(statement, ["account_id", "openid"], values))


def restart(tx: Transaction, account_id: int, openids: Sequence[str]) -> None:
    """Start the pauses of those OpenIDs that are in quarantine over."""
    tx.connection.execute(
        update(quarantine)
        .where(
            quarantine.c.account_id == account_id,
            quarantine.c.openid.in_(tx.dialect.openid_rows(openids)),
        )
        .values(attempts=0)
    )


def let_out(tx: Transaction, account_id: int, openids: Sequence[str]) -> None:
    """Delete these OpenIDs from quarantine."""
    tx.connection.execute(
        delete(quarantine).where(
            quarantine.c.account_id == account_id,
            quarantine.c.openid.in_(tx.dialect.openid_rows(openids)),
        )
    )
