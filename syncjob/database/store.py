"""The store: every step of the job that must survive a crash, one method and one transaction each.

The only door to the database for the rest of syncjob. The steps of a run end with
`runs.advance`, which fails when the run was declared abandoned and so undoes the whole step.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, select

from syncjob.database import access_tokens, accounts, followers, report, runs, sweeps
from syncjob.database.clock import Clock, DatabaseClock
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.schema import require_current
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
            accounts.add(connection, self._clock, appid)
            return accounts.get(connection, appid)

    def get_account(self, appid: str) -> Account | None:
        """Return the account of that AppID, or None if no run has added it."""
        with reading(self._engine) as connection:
            return accounts.find(connection, appid)

    def get_appids(self) -> list[str]:
        """Return the AppIDs of all accounts, sorted."""
        with reading(self._engine) as connection:
            return accounts.get_appids(connection)

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
                accounts.finish_backfill(connection, self._clock, run.account_id)
            return run

    def get_runs(self, account_id: int, limit: int) -> list[Run]:
        """Return the newest runs first."""
        with reading(self._engine) as connection:
            return runs.get_latest(connection, account_id, limit=limit)

    # --- sweeps ---------------------------------------------------------------------------

    def start_backfill(self, run_id: int, account: Account) -> Account:
        """Make every follower due again, and give up the open sweep."""
        with writing(self._engine) as connection:
            accounts.start_backfill(connection, self._clock, account.id)
            sweep = sweeps.get_newest(connection, account.id, "open")
            if sweep is not None:
                sweeps.discard(connection, self._clock, sweep.id, "a backfill was started")
            runs.advance(connection, self._clock, run_id)
            return accounts.get(connection, account.appid)

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
        self, run_id: int, sweep: Sweep, page: FollowerPage, traffic: Traffic
    ) -> PageSaved:
        """Store a page, the cursor behind it and the run's counts."""
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
            # A last page may hold nothing but the cursor itself: that is an end, not a page.
            pages = 1 if fresh else 0
            moved = sweeps.advance(
                connection,
                sweep.id,
                next_openid=page.next_openid,
                pages=pages,
                openids=fresh,
                total=page.total,
            )
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                pages=pages,
                openids=len(page.openids),
                new=new,
                returned=returned,
                skipped=page.skipped,
            )
        return PageSaved(moved, fresh, new, returned, led_back)

    def seal_sweep(self, run_id: int, sweep_id: int) -> None:
        """End the sweep whose last page is stored."""
        with writing(self._engine) as connection:
            sweeps.seal(connection, self._clock, sweep_id)
            runs.advance(connection, self._clock, run_id)

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
            return access_tokens.get(connection, self._clock, account_id)

    def save_token(self, account_id: int, token: AccessToken) -> None:
        """Keep a token for this and later runs, until it is time for a new one."""
        with writing(self._engine) as connection:
            access_tokens.save(connection, self._clock, account_id, token)

    # --- status ---------------------------------------------------------------------------

    def get_status(self, account: Account) -> AccountStatus:
        """Return what is in the database about the account, as of one moment."""
        with reading(self._engine) as connection:
            return report.get_status(connection, self._clock, account)
