"""Statements on quarantine: OpenIDs that WeChat refuses, or answers in ways not to be believed."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import case, delete, update

from syncjob.database.tables import quarantine
from syncjob.database.transactions import Transaction
from syncjob.model import Refusal


def put(tx: Transaction, account_id: int, refusal: Refusal) -> None:
    """Record that an OpenID failed by itself, and when to ask again: after 1 h, 1 d, then 7 d."""
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
    """Begin again with the pauses of those of these who are in it."""
    tx.connection.execute(
        update(quarantine)
        .where(
            quarantine.c.account_id == account_id,
            quarantine.c.openid.in_(tx.dialect.openid_rows(openids)),
        )
        .values(attempts=0)
    )


def let_out(tx: Transaction, account_id: int, openids: Sequence[str]) -> None:
    """Forget that these ever failed."""
    tx.connection.execute(
        delete(quarantine).where(
            quarantine.c.account_id == account_id,
            quarantine.c.openid.in_(tx.dialect.openid_rows(openids)),
        )
    )
