"""Statements on sweeps and on whom they have seen. Each runs inside a store's transaction."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from syncjob.database.clock import DatabaseClock
from syncjob.database.tables import runs, sweep_openids, sweeps
from syncjob.errors import RunLost
from syncjob.model import Sweep

COLUMNS = [
    func.coalesce(sweeps.c.next_openid, "") if name == "next_openid" else sweeps.c[name]
    for name in Sweep.__slots__
]


def start(connection: Connection, clock: DatabaseClock, account_id: int) -> Sweep:
    """Open a sweep before its first page."""
    sweep_id = connection.scalar(
        insert(sweeps)
        .values(account_id=account_id, status="open", started_at=clock.now())
        .returning(sweeps.c.id)
    )
    return _one(connection, sweep_id)


def get_newest(connection: Connection, account_id: int, status: str) -> Sweep | None:
    """Return the account's newest sweep of that status, if there is one."""
    row = connection.execute(
        select(*COLUMNS)
        .where(sweeps.c.account_id == account_id, sweeps.c.status == status)
        .order_by(sweeps.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Sweep(*row)


def get_latest(connection: Connection, account_id: int, limit: int) -> list[Sweep]:
    """Return the account's newest sweeps first."""
    rows = connection.execute(
        select(*COLUMNS)
        .where(sweeps.c.account_id == account_id)
        .order_by(sweeps.c.id.desc())
        .limit(limit)
    )
    return [Sweep(*row) for row in rows]


def is_fresh(account_id: int, run_id: int) -> ColumnElement[bool]:
    """Return the condition that the run reads the list, or has read it."""
    started_at = select(runs.c.started_at).where(runs.c.id == run_id).scalar_subquery()
    read = or_(sweeps.c.finished_at.is_(None), sweeps.c.finished_at >= started_at)
    return exists().where(sweeps.c.account_id == account_id, read)


def advance(
    connection: Connection,
    sweep_id: int,
    *,
    next_openid: str,
    pages: int,
    openids: int,
    total: int | None,
) -> Sweep:
    """Move the cursor behind a page that this transaction stores."""
    values: dict[str, Any] = {
        "pages": sweeps.c.pages + pages,
        "openids": sweeps.c.openids + openids,
        # The first page's total stays as it is, said or not.
        "total_first": case((sweeps.c.pages == 0, total), else_=sweeps.c.total_first),
        "total_last": func.coalesce(total, sweeps.c.total_last),
    }
    if next_openid:  # an empty cursor would ask for the first page again
        values["next_openid"] = next_openid
    _update_open(connection, sweep_id, values)
    return _one(connection, sweep_id)


def seal(connection: Connection, clock: DatabaseClock, sweep_id: int) -> None:
    """End an open sweep whose chain of pages ran to the end."""
    _update_open(connection, sweep_id, {"status": "sealed", "finished_at": clock.now()})
    _forget_seen(connection, sweep_id)


def discard(connection: Connection, clock: DatabaseClock, sweep_id: int, reason: str) -> None:
    """Give an open sweep up; what its pages brought stays."""
    _update_open(
        connection,
        sweep_id,
        {"status": "discarded", "finished_at": clock.now(), "reason": reason},
    )
    _forget_seen(connection, sweep_id)


def _update_open(connection: Connection, sweep_id: int, values: dict[str, Any]) -> None:
    statement = update(sweeps).where(sweeps.c.id == sweep_id, sweeps.c.status == "open")
    if connection.execute(statement.values(**values)).rowcount != 1:
        raise RunLost(
            f"sweep {sweep_id} was ended by another run; this one has written nothing since"
        )


def _forget_seen(connection: Connection, sweep_id: int) -> None:
    connection.execute(delete(sweep_openids).where(sweep_openids.c.sweep_id == sweep_id))


def _one(connection: Connection, sweep_id: int | None) -> Sweep:
    return Sweep(*connection.execute(select(*COLUMNS).where(sweeps.c.id == sweep_id)).one())
