"""Notices: the state that each channel last reported, and how the last runs ended."""

from dataclasses import dataclass

from sqlalchemy import select

from syncjob.database import runs
from syncjob.database.tables import IS_NOT_IDLE, notices
from syncjob.database.tables import runs as runs_table
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.model.accounts import Standing


@dataclass
class Notices:
    """What was last said of each account, and what there is to say."""

    database: Database

    @reads
    def get(self, tx: Transaction, account_id: int, channel: str) -> str | None:
        """Return the state that the channel last reported, None if it never has."""
        state: str | None = tx.connection.scalar(
            select(notices.c.state).where(
                notices.c.account_id == account_id, notices.c.channel == channel
            )
        )
        return state

    @writes
    def save(self, tx: Transaction, account_id: int, channel: str, state: str) -> None:
        """Record that the channel has reported this state of the account."""
        state_now = {"state": state, "told_at": tx.clock.now()}
        statement = tx.dialect.insert(notices).values(
            account_id=account_id, channel=channel, **state_now
        )
        proposed = tx.dialect.proposed(statement)
        values = {name: proposed[name] for name in state_now}
        tx.connection.execute(tx.dialect.or_update(statement, ["account_id", "channel"], values))

    @reads
    def get_standing(self, tx: Transaction, account_id: int, limit: int) -> Standing:
        """Return how the account's last `limit` runs ended.

        Without the idle ones, and without those that a signal or another run ended.
        """
        ended = runs.find_latest(
            tx,
            account_id,
            runs_table.c.status.in_(("succeeded", "failed")),
            IS_NOT_IDLE,
            limit=limit,
        )
        return Standing(
            exit_codes=tuple(run.exit_code for run in ended),
            last_success_at=runs.find_last_success_at(tx, account_id),
            as_of=tx.get_now(),
        )
