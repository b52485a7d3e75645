"""What is not of people: accounts, runs, shared tokens, the day's quotas, what was told to whom."""

from collections.abc import Callable
from datetime import timedelta

from syncjob.database import access_tokens, accounts, notices, pruning, quotas, removal, runs
from syncjob.database.archive import Archive
from syncjob.database.engine import writing
from syncjob.database.patience import patient
from syncjob.model import (
    AccessToken,
    Account,
    Command,
    Run,
    RunStatus,
    TokenClaim,
    ToldQuota,
    Traffic,
)


@patient
class Access(Archive):
    """The part of the store that is not of people; each method is one transaction."""

    def save_account(self, appid: str) -> Account:
        """Return the account of that AppID, added if it is new."""
        with writing(self._engine) as connection:
            accounts.add(connection, self._clock, appid)
            return accounts.get(connection, appid)

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
        exit_code: int | None = None,
        exhausted: str | None = None,
    ) -> Run:
        """End the run; raise RunLost if another one has declared it abandoned.

        `exhausted` is the endpoint of which WeChat said that its quota is used up.
        """
        with writing(self._engine) as connection:
            run = runs.finish(
                connection, self._clock, run_id, status, traffic, errcode, message, rid, exit_code
            )
            if exhausted is not None:
                quotas.exhaust(connection, self._clock, run.account_id, exhausted)
            return run

    def erase_people(self, run_id: int, account_id: int, *, limit: int) -> int:
        """Delete about `limit` of the account's rows that name somebody; return how many, 0: none.

        The run is the one that removes the account.
        """
        with writing(self._engine) as connection:
            erased = removal.erase_some(connection, account_id, limit)
            runs.advance(connection, self._clock, run_id)
            return erased

    def remove_account(self, run_id: int, account_id: int) -> None:
        """Delete the account and all rows of it, those of the run that removes it too."""
        with writing(self._engine) as connection:
            runs.advance(connection, self._clock, run_id)
            removal.remove_all(connection, account_id)

    def prune(self, account_id: int, *, keep: timedelta, failures: int, discarded: int) -> int:
        """Delete some of the runs and sweeps that ended longer ago than `keep`; return how many.

        0 when there is nothing left to delete. What the job, `status` or a view needs of them
        stays, such as the last `failures` runs and the last `discarded` sweeps.
        """
        with writing(self._engine) as connection:
            return pruning.prune(connection, self._clock, account_id, keep, failures, discarded)

    def save_quota(self, account_id: int, cgi_path: str, told: ToldQuota) -> None:
        """Keep what WeChat says of an endpoint's day."""
        with writing(self._engine) as connection:
            quotas.save_told(connection, self._clock, account_id, cgi_path, told)

    def forget_exhausted(self, account_id: int) -> int:
        """Forget which quotas WeChat has said are used up; return how many."""
        with writing(self._engine) as connection:
            return quotas.forget_exhausted(connection, account_id)

    def save_notice(self, account_id: int, channel: str, state: str) -> None:
        """Keep that the account's state was told by the channel."""
        with writing(self._engine) as connection:
            notices.save(connection, self._clock, account_id, channel, state)

    def claim_token(
        self,
        account_id: int,
        *,
        rejected: str | None,
        credentials: str | None = None,
        holder: str,
        is_dead: Callable[[str], bool] = lambda holder: False,
    ) -> TokenClaim:
        """Return a good token other than the `rejected` one, or the right to fetch one.

        Neither, if somebody else is fetching one, who is not known dead. A token that is known to
        be of other `credentials` is not a good one; None: whatever they are.
        """
        with writing(self._engine) as connection:
            return access_tokens.claim(
                connection, self._clock, account_id, rejected, credentials, holder, is_dead
            )

    def save_token(
        self,
        account_id: int,
        token: AccessToken,
        generation: int,
        credentials: str | None = None,
    ) -> str:
        """Keep the token that a claim brought; return the one to use, perhaps a newer one."""
        with writing(self._engine) as connection:
            return access_tokens.save(
                connection, self._clock, account_id, token, generation, credentials
            )

    def give_up_token(self, account_id: int, generation: int) -> None:
        """End a claim that has brought no token."""
        with writing(self._engine) as connection:
            access_tokens.give_up(connection, account_id, generation)

    def forget_token(self, account_id: int, token: str) -> None:
        """Have the next run fetch a token, if this one is the stored one."""
        with writing(self._engine) as connection:
            access_tokens.forget(connection, self._clock, account_id, token)
