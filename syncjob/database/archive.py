"""What the database knows, only to be looked at: for `status` and its like, and for the job.

No method here writes.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from sqlalchemy import Engine, select

from syncjob.database import (
    absence,
    access_tokens,
    accounts,
    followers,
    notices,
    pages,
    quotas,
    removal,
    report,
    runs,
    sweeps,
    totals,
    unfollows,
)
from syncjob.database import unionids as unionids_of
from syncjob.database.clock import Clock, DatabaseClock
from syncjob.database.engine import reading
from syncjob.database.patience import patient
from syncjob.model import (
    Account,
    AccountStatus,
    Candidate,
    FollowerCount,
    QuotaState,
    QuotaUse,
    Run,
    RunStatus,
    Standing,
    Sweep,
    Totals,
    Unanswered,
)


@patient
class Archive:
    """The reading half of the store. Thread-safe; close it, or use it in a `with`."""

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

    @property
    def kind(self) -> str:
        """Which database it is: `postgresql` or `sqlite`."""
        return self._engine.dialect.name

    def get_now(self) -> datetime:
        """Return the time by the clock that the stored instants are read from."""
        with reading(self._engine) as connection:
            return connection.execute(select(self._clock.now())).scalar_one()

    def get_account(self, appid: str) -> Account | None:
        """Return the account of that AppID, or None if no run has added it."""
        with reading(self._engine) as connection:
            return accounts.find(connection, appid)

    def get_appids(self) -> list[str]:
        """Return the AppIDs of all accounts, sorted."""
        with reading(self._engine) as connection:
            return accounts.get_appids(connection)

    def get_accounts(self) -> list[Account]:
        """Return all accounts, by their AppIDs."""
        with reading(self._engine) as connection:
            return accounts.get_all(connection)

    def count_rows(self, account_id: int) -> dict[str, int]:
        """Return how many rows each table has of the account, those that have some."""
        with reading(self._engine) as connection:
            return removal.count(connection, account_id)

    def get_runs(
        self,
        account_id: int,
        limit: int,
        *,
        idle: bool = True,
        statuses: Collection[RunStatus] | None = None,
    ) -> list[Run]:
        """Return the newest runs first; only those of these statuses, or without the idle ones."""
        with reading(self._engine) as connection:
            return runs.get_shown(connection, account_id, limit, idle, statuses)

    def count_idle_runs(self, account_id: int, *, behind: int) -> int:
        """Return how many idle runs began after the run `behind` (0: since ever)."""
        with reading(self._engine) as connection:
            return runs.count_idle(connection, account_id, behind)

    def get_calls(self, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return what each of these runs has called, by endpoint."""
        with reading(self._engine) as connection:
            return quotas.get_calls(connection, run_ids)

    def get_quota(self, account_id: int, cgi_path: str) -> QuotaState:
        """Return what is known of an endpoint's quota day."""
        with reading(self._engine) as connection:
            return quotas.get_state(connection, self._clock, account_id, cgi_path)

    def get_quota_uses(self, account_id: int) -> list[QuotaUse]:
        """Return what is known of the quota day of each endpoint."""
        with reading(self._engine) as connection:
            return quotas.get_uses(connection, self._clock, account_id)

    def get_failing_cause(self, account_id: int, in_a_row: int) -> int | None:
        """Return the errcode that ended each of the last runs, so many in a row, if one did."""
        with reading(self._engine) as connection:
            return runs.get_failing_cause(connection, account_id, in_a_row)

    def get_standing(self, account_id: int, limit: int) -> Standing:
        """Return how the account's last runs have ended that nobody else has ended."""
        with reading(self._engine) as connection:
            return notices.get_standing(connection, self._clock, account_id, limit)

    def get_notice(self, account_id: int, channel: str) -> str | None:
        """Return the state that was last told by the channel, None if none ever was."""
        with reading(self._engine) as connection:
            return notices.get(connection, account_id, channel)

    def find_openid(self, account_id: int) -> str | None:
        """Return the OpenID of somebody, if there is anybody."""
        with reading(self._engine) as connection:
            return followers.find_one(connection, account_id)

    def get_openid_prefix(self, account_id: int) -> str | None:
        """Return the six characters that all stored OpenIDs of the account begin with.

        None if they do not begin alike, or nobody is stored.
        """
        with reading(self._engine) as connection:
            return followers.get_prefix(connection, account_id)

    def count_subscribed(self, account_id: int, *, limit: int) -> int:
        """Return how many follow, up to `limit`."""
        with reading(self._engine) as connection:
            return followers.count_subscribed(connection, account_id, limit)

    def get_controls(self, account_id: int) -> list[str]:
        """Return a few OpenIDs that WeChat should be able to answer about, the likeliest first."""
        with reading(self._engine) as connection:
            return followers.get_controls(connection, account_id)

    def count_at(self, account_id: int, at: datetime) -> FollowerCount:
        """Return how many followed at that moment, at least and at most."""
        with reading(self._engine) as connection:
            return report.count_at(connection, account_id, at)

    def get_status(self, account: Account) -> AccountStatus:
        """Return what is in the database about the account, as of one moment."""
        with reading(self._engine) as connection:
            return report.get_status(connection, self._clock, account)

    def get_totals(self, account_id: int) -> Totals:
        """Return what all runs of the account have done together."""
        with reading(self._engine) as connection:
            return totals.get(connection, account_id)

    def get_candidates(self, account_id: int, *, after: str, limit: int) -> list[Candidate]:
        """Return the next candidates behind `after`, in byte order, without the undecided."""
        with reading(self._engine) as connection:
            return unfollows.get_candidates(connection, account_id, after, limit)

    def count_candidates(self, account_id: int) -> int:
        """Return how many candidates wait, parked or to be asked about."""
        with reading(self._engine) as connection:
            return unfollows.count_candidates(connection, account_id)

    def get_unanswered(self, account_id: int, *, limit: int) -> list[Unanswered]:
        """Return some of the missing of whom WeChat does not say whether they follow."""
        with reading(self._engine) as connection:
            return absence.get_unanswered(connection, account_id, limit)

    def count_unanswered(self, account_id: int) -> tuple[int, int]:
        """Return how many of these there are, and of how many of them it refuses to speak."""
        with reading(self._engine) as connection:
            return absence.count(connection, account_id)

    def get_open_sweep(self, account_id: int) -> Sweep | None:
        """Return the sweep whose next page is still to be asked for, if there is one."""
        with reading(self._engine) as connection:
            return sweeps.get_newest(connection, account_id, "open")

    def get_sealed_sweep(self, account_id: int) -> Sweep | None:
        """Return the newest sweep that came to its end, if there is one."""
        with reading(self._engine) as connection:
            return sweeps.get_newest(connection, account_id, "sealed")

    def get_newest_sweeps(self, account_id: int, limit: int) -> list[Sweep]:
        """Return the account's newest sweeps of any status, the newest first."""
        with reading(self._engine) as connection:
            return sweeps.get_latest(connection, account_id, limit)

    def get_moved_share(self, account_id: int, unionids: Mapping[str, str]) -> float:
        """Return the share (0 to 1) of the known unionids that these, by OpenID, would change."""
        with reading(self._engine) as connection:
            return unionids_of.get_moved_share(connection, account_id, unionids)

    def get_known(self, account_id: int, openids: Sequence[str]) -> dict[str, bool]:
        """Return which of these OpenIDs are stored, and whether they are to be asked about now."""
        with reading(self._engine) as connection:
            return pages.get_known(connection, self._clock, account_id, openids)

    def get_unenriched(self, account_id: int, *, after: str, limit: int) -> list[str]:
        """Return the next OpenIDs to enrich, in byte order, behind `after` ("" is the start)."""
        with reading(self._engine) as connection:
            return followers.get_unenriched(connection, self._clock, account_id, after, limit)

    def count_unenriched(self, account_id: int) -> int:
        """Return how many wait for their profile and may be asked about now."""
        with reading(self._engine) as connection:
            return followers.count_unenriched(connection, self._clock, account_id)

    def count_stale(self, account_id: int, *, refresh_after: timedelta, limit: int) -> int:
        """Return how many profiles are older than that, up to `limit`."""
        with reading(self._engine) as connection:
            return followers.count_stale(connection, self._clock, account_id, refresh_after, limit)

    def get_stale(
        self,
        account_id: int,
        *,
        refresh_after: timedelta,
        behind: tuple[str, datetime] | None,
        limit: int,
    ) -> list[tuple[str, datetime]]:
        """Return OpenIDs whose profile is older than that, and of when it is; the oldest first.

        `behind` is the last one of an earlier call.
        """
        with reading(self._engine) as connection:
            return followers.get_stale(
                connection, self._clock, account_id, refresh_after, behind, limit
            )

    def get_token(self, account_id: int, credentials: str | None = None) -> str | None:
        """Return the stored token, unless it is time for a new one, or it is of others."""
        with reading(self._engine) as connection:
            return access_tokens.get(connection, self._clock, account_id, credentials)
