"""Statements on what was last told of an account, and on what there is to tell."""

from sqlalchemy import Connection, select

from syncjob.database import runs
from syncjob.database.clock import DatabaseClock
from syncjob.database.dialects import insert
from syncjob.database.tables import IS_NOT_IDLE, notices
from syncjob.database.tables import runs as runs_table
from syncjob.model import Standing


def get(connection: Connection, account_id: int, channel: str) -> str | None:
    """Return the state that was last told by the channel, None if none ever was."""
    state: str | None = connection.scalar(
        select(notices.c.state).where(
            notices.c.account_id == account_id, notices.c.channel == channel
        )
    )
    return state


def save(
    connection: Connection, clock: DatabaseClock, account_id: int, channel: str, state: str
) -> None:
    """Keep that the state was told by the channel, now."""
    statement = insert(connection.dialect)(notices).values(
        account_id=account_id, channel=channel, state=state, told_at=clock.now()
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["account_id", "channel"],
            set_={"state": statement.excluded.state, "told_at": statement.excluded.told_at},
        )
    )


def get_standing(
    connection: Connection, clock: DatabaseClock, account_id: int, limit: int
) -> Standing:
    """Return how the last runs have ended, without the idle and those that others have ended."""
    ended = runs.get_latest(
        connection,
        account_id,
        runs_table.c.status.in_(("succeeded", "failed")),
        IS_NOT_IDLE,
        limit=limit,
    )
    return Standing(
        exit_codes=tuple(run.exit_code for run in ended),
        last_success_at=runs.get_last_success_at(connection, account_id),
        as_of=connection.execute(select(clock.now())).scalar_one(),
    )
