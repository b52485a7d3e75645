"""The store: every step of the job that must survive a crash, one method and one transaction each.

The only door to the database for the rest of syncjob. The steps of a run end with
`runs.advance`, which fails when the run was declared abandoned and so undoes the whole step.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from syncjob.database import (
    access_tokens,
    accounts,
    followers,
    profiles,
    quarantine,
    runs,
    sweeps,
    unfollows,
)
from syncjob.database.archive import Archive
from syncjob.database.clock import Clock
from syncjob.database.engine import open_engine, reading, writing
from syncjob.database.schema import require_current
from syncjob.model import (
    AccessToken,
    Account,
    Allowance,
    Answers,
    Command,
    FollowerPage,
    PageSaved,
    Run,
    RunStatus,
    Sweep,
    SweepSealed,
    Traffic,
    UnionidConflict,
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


class Store(Archive):
    """What the job keeps, to read and to write. Thread-safe; close it, or use it in a `with`."""

    # --- accounts -------------------------------------------------------------------------

    def save_account(self, appid: str) -> Account:
        """Return the account of that AppID, added if it is new."""
        with writing(self._engine) as connection:
            accounts.add(connection, self._clock, appid)
            return accounts.get(connection, appid)

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
        """End the run; raise RunLost if another one has declared it abandoned."""
        with writing(self._engine) as connection:
            return runs.finish(
                connection, self._clock, run_id, status, traffic, errcode, message, rid
            )

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

    def finish_backfill(self, run_id: int, account_id: int) -> None:
        """End the backfill that is under way, if one is: everybody was listed and asked about."""
        with writing(self._engine) as connection:
            accounts.finish_backfill(connection, self._clock, account_id)
            runs.advance(connection, self._clock, run_id)

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

    def start_sweep(self, run_id: int, account_id: int) -> Sweep:
        """Open a new sweep; its cursor stands before the first page."""
        with writing(self._engine) as connection:
            # First of all: a run that lost its row may meet the open sweep of the one that has it.
            runs.advance(connection, self._clock, run_id)
            return sweeps.start(connection, self._clock, account_id)

    def save_page(
        self, run_id: int, sweep: Sweep, page: FollowerPage, traffic: Traffic
    ) -> PageSaved:
        """Store a page, the cursor behind it and the run's counts."""
        account_id = sweep.account_id
        with writing(self._engine) as connection:
            led_back = sweeps.has_seen(connection, sweep.id, page.next_openid)
            returned = new = fresh = 0
            if page.openids:
                returned = followers.subscribe_again(
                    connection, self._clock, account_id, sweep.id, page.openids
                )
                new = followers.add(connection, self._clock, account_id, page.openids)
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

    def seal_sweep(self, run_id: int, sweep: Sweep, max_unfollow: Allowance) -> SweepSealed:
        """End the sweep whose last page is stored, and note the subscribed whom it did not list.

        They are candidates, to be asked about; more of them than `max_unfollow` are parked.
        """
        with writing(self._engine) as connection:
            sealed = unfollows.add_candidates(connection, self._clock, sweep, max_unfollow)
            sweeps.seal(connection, self._clock, sweep.id)
            runs.advance(connection, self._clock, run_id)
            return sealed

    def discard_sweep(self, run_id: int, sweep_id: int, reason: str) -> None:
        """Give the sweep up and record why; the followers it brought stay."""
        with writing(self._engine) as connection:
            sweeps.discard(connection, self._clock, sweep_id, reason)
            runs.advance(connection, self._clock, run_id)

    # --- what WeChat says of people ---------------------------------------------------------

    def get_unenriched(self, account_id: int, *, after: str, limit: int) -> list[str]:
        """Return the next OpenIDs to enrich, in byte order, behind `after` ("" is the start)."""
        with reading(self._engine) as connection:
            return followers.get_unenriched(connection, self._clock, account_id, after, limit)

    def get_stale(self, account_id: int, *, refresh_after: timedelta, limit: int) -> list[str]:
        """Return the OpenIDs whose profile is older than `refresh_after`, the oldest first."""
        with reading(self._engine) as connection:
            return followers.get_stale(connection, self._clock, account_id, refresh_after, limit)

    def get_unionid_conflicts(
        self, account_id: int, infos: Sequence[UserInfo]
    ) -> list[UnionidConflict]:
        """Return where these answers would change a unionid, or give it to a second OpenID."""
        with reading(self._engine) as connection:
            return profiles.get_unionid_conflicts(connection, account_id, infos)

    def save_answers(
        self, run_id: int, account_id: int, answers: Answers, traffic: Traffic
    ) -> None:
        """Store what WeChat says of followers who are listed, and the run's counts."""
        with writing(self._engine) as connection:
            profiles.save(connection, self._clock, account_id, answers.following)
            gone = self._mark_gone(connection, account_id, answers.gone)
            for refusal in answers.refused:
                quarantine.put(connection, self._clock, account_id, refusal)
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                enriched=len(answers.following) + len(answers.gone),
                unfollowed=gone,
                skipped=len(answers.refused) + len(answers.missing),
            )

    # --- who is gone ------------------------------------------------------------------------

    def save_proofs(self, run_id: int, account_id: int, answers: Answers, traffic: Traffic) -> None:
        """Decide candidates as WeChat says: gone, still following, or not decided."""
        # What they say of a return counts, and their profiles with it; not their unionids, which
        # were not compared with what is stored.
        following = [replace(info, unionid=None) for info in answers.following]
        undecided = [*answers.missing, *(refusal.openid for refusal in answers.refused)]
        with writing(self._engine) as connection:
            gone = self._mark_gone(connection, account_id, answers.gone)
            profiles.save(connection, self._clock, account_id, following)
            unfollows.leave_undecided(connection, account_id, undecided)
            runs.advance(
                connection,
                self._clock,
                run_id,
                traffic,
                unfollowed=gone,
                lagging=len(following),
            )

    def decide_parked(self, account_id: int, *, approve: bool) -> int:
        """Let the next run ask about the parked candidates, or leave them; return how many."""
        with writing(self._engine) as connection:
            count = unfollows.count_candidates(connection, account_id)
            unfollows.unpark(connection, account_id, approve=approve)
            return count

    def _mark_gone(self, connection: Connection, account_id: int, gone: Sequence[str]) -> int:
        if not gone:
            return 0
        quarantine.let_out(connection, account_id, gone)
        return unfollows.mark_gone(connection, self._clock, account_id, gone)

    # --- access tokens --------------------------------------------------------------------

    def get_token(self, account_id: int) -> str | None:
        """Return the stored token, unless it is time for a new one."""
        with reading(self._engine) as connection:
            return access_tokens.get(connection, self._clock, account_id)

    def save_token(self, account_id: int, token: AccessToken) -> None:
        """Keep a token for this and later runs, until it is time for a new one."""
        with writing(self._engine) as connection:
            access_tokens.save(connection, self._clock, account_id, token)
