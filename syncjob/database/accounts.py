"""Accounts, and the backfill that an account may be in."""

from dataclasses import dataclass
from secrets import token_hex

from sqlalchemy import select, update

from syncjob.database import runs, sweeps
from syncjob.database.conditions import is_unenriched
from syncjob.database.tables import accounts, followers
from syncjob.database.transactions import Database, Transaction, reads, writes
from syncjob.model.accounts import Account

COLUMNS = [accounts.c[name] for name in Account.__slots__]


@dataclass
class Accounts:
    """What is known of each account beside its followers."""

    database: Database

    @writes
    def save(self, tx: Transaction, appid: str) -> Account:
        """Return the account of that AppID, added if it is new."""
        account = _find(tx, appid)
        if account is not None and account.hash_key is not None:
            return account
        if account is None:
            statement = tx.dialect.insert(accounts).values(
                appid=appid, created_at=tx.clock.now(), hash_key=token_hex(16)
            )
            tx.connection.execute(tx.dialect.or_ignore(statement))
        else:  # of before there were keys
            tx.connection.execute(
                update(accounts)
                .where(accounts.c.id == account.id, accounts.c.hash_key.is_(None))
                .values(hash_key=token_hex(16))
            )
        return _get(tx, appid)

    @reads
    def get(self, tx: Transaction, appid: str) -> Account | None:
        """Return the account of that AppID, or None if no run has added it."""
        return _find(tx, appid)

    @reads
    def get_all(self, tx: Transaction) -> list[Account]:
        """Return all accounts, ordered by AppID."""
        rows = tx.connection.execute(select(*COLUMNS).order_by(accounts.c.appid))
        return [Account(*row) for row in rows]

    @reads
    def get_appids(self, tx: Transaction) -> list[str]:
        """Return the AppIDs of all accounts, sorted."""
        return list(tx.connection.scalars(select(accounts.c.appid).order_by(accounts.c.appid)))

    @writes
    def start_backfill(self, tx: Transaction, run_id: int, account: Account) -> Account:
        """Make every follower due again, and discard the open sweep."""
        tx.connection.execute(
            update(accounts)
            .where(accounts.c.id == account.id)
            .values(backfill_started_at=tx.clock.now(), backfill_finished_at=None)
        )
        sweep = sweeps.find_newest(tx, account.id, "open")
        if sweep is not None:
            sweeps.mark_discarded(tx, sweep.id, "a backfill was started")
        runs.advance(tx, run_id)
        return _get(tx, account.appid)

    @writes
    def finish_backfill(self, tx: Transaction, run_id: int, account_id: int) -> None:
        """End the backfill, if one is open: every follower was listed and asked about."""
        # Whoever got no profile becomes never enriched, which has an index of its own: a run
        # between two sweeps finds everybody who is due by that index alone.
        tx.connection.execute(
            update(followers)
            .where(
                followers.c.account_id == account_id,
                is_unenriched(account_id),
                followers.c.enriched_at.is_not(None),
            )
            .values(enriched_at=None)
        )
        tx.connection.execute(
            update(accounts)
            .where(
                accounts.c.id == account_id,
                accounts.c.backfill_started_at.is_not(None),
                accounts.c.backfill_finished_at.is_(None),
            )
            .values(backfill_finished_at=tx.clock.now())
        )
        runs.advance(tx, run_id)


def _find(tx: Transaction, appid: str) -> Account | None:
    row = tx.connection.execute(select(*COLUMNS).where(accounts.c.appid == appid)).one_or_none()
    return None if row is None else Account(*row)


def _get(tx: Transaction, appid: str) -> Account:
    return Account(*tx.connection.execute(select(*COLUMNS).where(accounts.c.appid == appid)).one())
