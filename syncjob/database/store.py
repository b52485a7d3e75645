"""The store: every step of the job that must survive a crash, one method and one transaction each.

The only door to the database for the rest of syncjob. The steps of a run end with
`runs.advance`, which fails when the run was declared abandoned and so undoes the whole step.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, exists, func, select, update

from syncjob.database import followers, runs, sweeps
from syncjob.database.clock import Clock, DatabaseClock
from syncjob.database.dialects import insert
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.schema import require_current
from syncjob.database.tables import access_tokens, accounts
from syncjob.database.tables import followers as followers_table
from syncjob.database.tables import quarantine as quarantine_table
from syncjob.database.tables import runs as runs_table
from syncjob.model import (
    AccessToken,
    Account,
    AccountStatus,
    Command,
    FollowerPage,
    PageSaved,
    Run,
    RunStatus,
    Sweep,
    Traffic,
    UserInfo,
)


def open_store(database_url: str, *, clock: Clock | None = None) -> "Store":
    """Open the store of a database whose schema is current.

    Raises DatabaseError (SchemaNotCurrent among them) before anything is touched. `clock` replaces
    the database's clock, for tests.
    """
    engine = open_engine(database_url)
    try:
        with reading(engine) as connection:
            require_current(connection)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine, clock)


class Store:
    """All that the job keeps. Thread-safe; close it, or use it in a `with`."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = DatabaseClock(engine, clock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get_now(self) -> datetime:
        """Return the time by the clock that the stored instants are read from."""
        with reading(self._engine) as connection:
            return connection.execute(select(self._clock.now())).scalar_one()

    # --- accounts -------------------------------------------------------------------------

    def save_account(self, appid: str) -> Account:
        """Return the account of that AppID, added if it is new."""
        with writing(self._engine) as connection:
            if not _exists(connection, appid):
                values = {"appid": appid, "created_at": self._clock.now()}
                connection.execute(
                    insert(connection)(accounts).values(values).on_conflict_do_nothing()
                )
            return _get_account(connection, appid)

    def get_account(self, appid: str) -> Account | None:
        """Return the account of that AppID, or None if no run has added it."""
        with reading(self._engine) as connection:
            return _get_account(connection, appid) if _exists(connection, appid) else None

    def get_appids(self) -> list[str]:
        """Return the AppIDs of all accounts, sorted."""
        with reading(self._engine) as connection:
            return list(connection.scalars(select(accounts.c.appid).order_by(accounts.c.appid)))

    # --- runs -----------------------------------------------------------------------------

    def start_run(
        self,
        account_id: int,
        command: Command,
        *,
        holder: str,
        abandon_after: timedelta,
        is_dead: Callable[[str], bool] = lambda holder: False,
    ) -> Run:
        """Start a run of the account; raise RunInProgress while another one is alive.

        One whose `holder` is known dead, or whose heartbeat is older than `abandon_after`, is
        declared abandoned in the same transaction.
        """
        with writing(self._engine) as connection:
            return runs.start(
                connection, self._clock, account_id, command, holder, abandon_after, is_dead
            )

    def beat(self, run_id: int) -> None:
        """Renew the run's heartbeat; raise RunLost if it is not running any more."""
        with writing(self._engine) as connection:
            runs.advance(connection, self._clock, run_id)

    def finish_run(
        self,
        run_id: int,
        status: RunStatus,
        traffic: Traffic,
        *,
        errcode: int | None = None,
        message: str | None = None,
        rid: str | None = None,
    ) -> Run:
        """End the run; one that succeeded also ends the account's backfill."""
        with writing(self._engine) as connection:
            run = runs.finish(
                connection, self._clock, run_id, status, traffic, errcode, message, rid
            )
            if status == "succeeded":
                connection.execute(
                    update(accounts)
                    .where(
                        accounts.c.id == run.account_id,
                        accounts.c.backfill_started_at.is_not(None),
                        accounts.c.backfill_finished_at.is_(None),
                    )
                    .values(backfill_finished_at=self._clock.now())
                )
            return run

    def get_runs(self, account_id: int, limit: int) -> list[Run]:
        """Return the newest runs first."""
        with reading(self._engine) as connection:
            return runs.get_latest(connection, account_id, limit=limit)

    # --- sweeps ---------------------------------------------------------------------------

    def start_backfill(self, run_id: int, account: Account) -> Account:
        """Make every follower due again, and give up the open sweep."""
        with writing(self._engine) as connection:
            connection.execute(
                update(accounts)
                .where(accounts.c.id == account.id)
                .values(backfill_started_at=self._clock.now(), backfill_finished_at=None)
            )
            sweep = sweeps.get_newest(connection, account.id, "open")
            if sweep is not None:
                sweeps.discard(connection, self._clock, sweep.id, "a backfill was started")
            runs.advance(connection, self._clock, run_id)
            return _get_account(connection, account.appid)

    def get_open_sweep(self, account_id: int) -> Sweep | None:
        """Return the sweep whose next page is still to be asked for, if there is one."""
        with reading(self._engine) as connection:
            return sweeps.get_newest(connection, account_id, "open")

    def get_sealed_sweep(self, account_id: int) -> Sweep | None:
        """Return the newest sweep that came to its end, if there is one."""
        with reading(self._engine) as connection:
            return sweeps.get_newest(connection, account_id, "sealed")

    def start_sweep(self, run_id: int, account_id: int) -> Sweep:
        """Open a new sweep; its cursor stands before the first page."""
        with writing(self._engine) as connection:
            sweep = sweeps.start(connection, self._clock, account_id)
            runs.advance(connection, self._clock, run_id)
            return sweep

    def save_page(
        self, run_id: int, sweep: Sweep, page: FollowerPage, *, last: bool, traffic: Traffic
    ) -> PageSaved:
        """Store a page, the cursor behind it and the run's counts; seal the sweep with the last."""
        account_id = sweep.account_id
        with writing(self._engine) as connection:
            led_back = sweeps.has_seen(connection, sweep.id, page.next_openid)
            returned = new = fresh = 0
            if page.openids:
                returned = followers.subscribe_again(connection, account_id, sweep.id, page.openids)
                new = followers.add_followers(
                    connection, account_id, page.openids, self._clock.now()
                )
                fresh = sweeps.add_seen(connection, sweep.id, page.openids)
            moved = sweeps.advance(
                connection,
                self._clock,
                sweep.id,
                next_openid=page.next_openid,
                pages=1 if page.openids else 0,
                openids=fresh,
                total=page.total,
                seal=last,
            )
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                pages=1 if page.openids else 0,
                openids=len(page.openids),
                new=new,
                returned=returned,
                skipped=page.skipped,
            )
        return PageSaved(moved, fresh, new, returned, led_back)

    def discard_sweep(self, run_id: int, sweep_id: int, reason: str) -> None:
        """Give the sweep up and record why; the followers it brought stay."""
        with writing(self._engine) as connection:
            sweeps.discard(connection, self._clock, sweep_id, reason)
            runs.advance(connection, self._clock, run_id)

    # --- enrichment -----------------------------------------------------------------------

    def get_unenriched(self, account_id: int, *, after: str, limit: int) -> list[str]:
        """Return the next OpenIDs to enrich, in byte order, behind `after` ("" is the start)."""
        with reading(self._engine) as connection:
            return followers.get_unenriched(connection, account_id, after, limit, self._clock.now())

    def save_user_infos(
        self,
        run_id: int,
        account_id: int,
        infos: Sequence[UserInfo],
        *,
        missing: int,
        traffic: Traffic,
    ) -> None:
        """Store what batchget said; `missing` is how many it was asked about and left out."""
        with writing(self._engine) as connection:
            followers.save_profiles(connection, account_id, infos, self._clock.now())
            runs.advance(
                connection, self._clock, run_id, traffic, enriched=len(infos), skipped=missing
            )

    def save_quarantined(
        self,
        run_id: int,
        account_id: int,
        openid: str,
        *,
        errcode: int | None,
        reason: str,
        traffic: Traffic,
    ) -> None:
        """Put an OpenID that WeChat refuses by itself aside, to be asked again much later."""
        with writing(self._engine) as connection:
            followers.put_in_quarantine(
                connection, account_id, openid, errcode, reason, self._clock
            )
            runs.advance(connection, self._clock, run_id, traffic, skipped=1)

    # --- access tokens --------------------------------------------------------------------

    def get_token(self, account_id: int) -> str | None:
        """Return the stored token, unless it is time for a new one."""
        with reading(self._engine) as connection:
            return connection.scalar(
                select(access_tokens.c.access_token).where(
                    access_tokens.c.account_id == account_id,
                    access_tokens.c.refresh_at > self._clock.now(),
                )
            )

    def save_token(self, account_id: int, token: AccessToken) -> None:
        """Keep a token for this and later runs, until it is time for a new one."""
        usable_for = timedelta(seconds=token.usable_for or 0)
        values = {
            "access_token": token.value,
            "fetched_at": self._clock.now(),
            "refresh_at": self._clock.now(usable_for),
        }
        with writing(self._engine) as connection:
            statement = insert(connection)(access_tokens).values(account_id=account_id, **values)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["account_id"], set_=values)
            )

    # --- status ---------------------------------------------------------------------------

    def get_status(self, account: Account) -> AccountStatus:
        """Return what is in the database about the account, as of one moment."""
        table = followers_table
        with reading(self._engine) as connection:
            unenriched = followers.is_unenriched(
                select(accounts.c.backfill_started_at)
                .where(accounts.c.id == account.id)
                .scalar_subquery()
            )
            count, subscribed, to_enrich = connection.execute(
                select(
                    func.count(),
                    func.count().filter(table.c.subscribe.is_(True)),
                    func.count().filter(unenriched),
                ).where(table.c.account_id == account.id)
            ).one()
            quarantined = connection.scalar(
                select(func.count()).where(quarantine_table.c.account_id == account.id)
            )
            ended = runs_table.c.status != "running"
            last = runs.get_latest(connection, account.id, ended, limit=1)
            success: datetime | None = connection.scalar(
                select(func.max(runs_table.c.finished_at)).where(
                    runs_table.c.account_id == account.id, runs_table.c.status == "succeeded"
                )
            )
            return AccountStatus(
                account=account,
                followers=count,
                subscribed=subscribed,
                unenriched=to_enrich,
                quarantined=quarantined or 0,
                open_sweep=sweeps.get_newest(connection, account.id, "open"),
                sealed_sweep=sweeps.get_newest(connection, account.id, "sealed"),
                running=runs.get_running(connection, account.id),
                last_run=last[0] if last else None,
                last_success_at=success,
                as_of=connection.execute(select(self._clock.now())).scalar_one(),
            )


def _exists(connection: Connection, appid: str) -> bool:
    return bool(connection.scalar(select(exists().where(accounts.c.appid == appid))))


def _get_account(connection: Connection, appid: str) -> Account:
    columns = (accounts.c[name] for name in Account.__slots__)
    return Account(*connection.execute(select(*columns).where(accounts.c.appid == appid)).one())
