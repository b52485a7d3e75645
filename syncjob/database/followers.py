"""Followers: what WeChat says of them, and which of them to ask about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from operator import itemgetter

from sqlalchemy import ColumnElement, and_, func, literal, not_, or_, select

from syncjob.database import answers, pages, quarantine, runs
from syncjob.database.clock import DatabaseClock
from syncjob.database.conditions import (
    is_candidate,
    is_quarantined,
    is_unenriched_now,
    is_waiting,
)
from syncjob.database.tables import followers
from syncjob.database.transactions import Database, Transaction, reads
from syncjob.model.answers import Answers, AnswersSaved
from syncjob.model.openids import common_prefix
from syncjob.model.runs import Traffic
from syncjob.model.sweeps import HeldPages

CONTROLS = 4  # OpenIDs, from each end of their order
NOT_HELD = HeldPages()


@dataclass
class Followers:
    """The followers of each account."""

    database: Database

    def save_answers(
        self,
        run_id: int,
        account_id: int,
        answers: Answers,
        traffic: Traffic,
        *,
        held: HeldPages = NOT_HELD,
        confirmed: bool = False,
        counted_as: str | None = None,
    ) -> AnswersSaved:
        """Store what WeChat says of followers that are listed, and the run's counts.

        Those that `held` pages list are added. Where a unionid contradicts what is stored nothing
        of that answer is stored, unless it is `confirmed`: then it is believed. What is stored also
        counts under the name `counted_as`, if there is one (`run_counts`).
        """
        return self.database.write_new(
            lambda tx, assume_new: _save_answers(
                tx,
                run_id,
                account_id,
                answers,
                traffic,
                held,
                confirmed=confirmed,
                counted_as=counted_as,
                assume_new=assume_new,
            )
        )

    @reads
    def find_openid(self, tx: Transaction, account_id: int) -> str | None:
        """Return the OpenID of one follower, None if there are none."""
        openid: str | None = tx.connection.scalar(
            select(followers.c.openid)
            .where(_is_of(account_id))
            # Else PostgreSQL may read all of another account's rows before one of this one's.
            .order_by(followers.c.openid)
            .limit(1)
        )
        return openid

    @reads
    def get_openid_prefix(self, tx: Transaction, account_id: int) -> str | None:
        """Return the six characters that all stored OpenIDs of the account begin with.

        None if they begin differently, or nobody is stored.
        """
        return find_openid_prefix(tx, account_id)

    @reads
    def count_subscribed(self, tx: Transaction, account_id: int, *, limit: int) -> int:
        """Return how many follow, up to `limit`."""
        some = select(literal(1)).where(_is_of(account_id), followers.c.subscribe.is_(True))
        counted = some.select_from(followers).limit(limit).subquery()
        return tx.connection.scalar(select(func.count()).select_from(counted)) or 0

    @reads
    def get_controls(self, tx: Transaction, account_id: int) -> list[str]:
        """Return a few OpenIDs that WeChat should be able to answer about, the likeliest first.

        They follow, are neither in quarantine nor candidates, and come from both ends of the order
        of OpenIDs; those with a profile come first.
        """
        rows = select(followers.c.enriched_at.is_(None), followers.c.openid).where(
            _is_of(account_id),
            followers.c.subscribe.is_(True),
            not_(is_quarantined()),
            not_(is_candidate()),
        )
        first, last = (
            tx.connection.execute(rows.order_by(end).limit(CONTROLS)).all()
            for end in (followers.c.openid.asc(), followers.c.openid.desc())
        )
        # In turns from both ends, in case something is wrong with those at one of them.
        in_turns = [row for pair in zip_longest(first, last) for row in pair if row is not None]
        in_turns.sort(key=itemgetter(0))
        return list(dict.fromkeys(openid for _, openid in in_turns))[:CONTROLS]

    @reads
    def get_known(
        self, tx: Transaction, account_id: int, openids: Sequence[str]
    ) -> dict[str, bool]:
        """Return which of these OpenIDs are stored, and whether they are due to be asked about."""
        return pages.find_known(tx, account_id, openids)

    @reads
    def get_unenriched(
        self, tx: Transaction, account_id: int, *, after: str, limit: int
    ) -> list[str]:
        """Return the next OpenIDs to enrich, in byte order, behind `after` ("" is the start)."""
        statement = (
            select(followers.c.openid)
            .where(
                _is_of(account_id),
                followers.c.openid > after,
                is_unenriched_now(tx, account_id),
                ~is_waiting(tx.clock),
            )
            .order_by(followers.c.openid)
            .limit(limit)
        )
        return list(tx.connection.scalars(statement))

    @reads
    def count_unenriched(self, tx: Transaction, account_id: int) -> int:
        """Return how many need a profile and may be asked about now."""
        due = (_is_of(account_id), is_unenriched_now(tx, account_id), ~is_waiting(tx.clock))
        return tx.connection.scalar(select(func.count()).select_from(followers).where(*due)) or 0

    @reads
    def get_stale(
        self,
        tx: Transaction,
        account_id: int,
        *,
        refresh_after: timedelta,
        behind: tuple[str, datetime] | None,
        limit: int,
    ) -> list[tuple[str, datetime]]:
        """Return OpenIDs whose profile is older than `refresh_after`, and its time, oldest first.

        `behind` is the last one of an earlier call.
        """
        statement = (
            select(followers.c.openid, followers.c.enriched_at)
            .where(*_is_stale(tx.clock, account_id, refresh_after))
            .order_by(followers.c.enriched_at, followers.c.openid)
            .limit(limit)
        )
        if behind is not None:
            openid, enriched_at = behind
            later = and_(followers.c.enriched_at == enriched_at, followers.c.openid > openid)
            statement = statement.where(or_(followers.c.enriched_at > enriched_at, later))
        return [(openid, at) for openid, at in tx.connection.execute(statement)]

    @reads
    def count_stale(
        self, tx: Transaction, account_id: int, *, refresh_after: timedelta, limit: int
    ) -> int:
        """Return how many profiles are older than `refresh_after`, up to `limit`."""
        stale = select(followers.c.openid).where(*_is_stale(tx.clock, account_id, refresh_after))
        counted = select(func.count()).select_from(stale.limit(limit).subquery())
        return tx.connection.scalar(counted) or 0


def find_openid_prefix(tx: Transaction, account_id: int) -> str | None:
    """Return how all stored OpenIDs of the account begin, None if they differ or there are none."""
    openids = select(followers.c.openid).where(_is_of(account_id)).limit(1)
    first, last = (
        tx.connection.scalar(openids.order_by(end))
        for end in (followers.c.openid.asc(), followers.c.openid.desc())
    )
    return None if first is None or last is None else common_prefix(first, last)


def _save_answers(
    tx: Transaction,
    run_id: int,
    account_id: int,
    answered: Answers,
    traffic: Traffic,
    held: HeldPages,
    *,
    confirmed: bool,
    counted_as: str | None,
    assume_new: bool,
) -> AnswersSaved:
    assume_new = assume_new and all(info.openid in held.pages for info in answered.following)
    known: dict[str, bool] = {}
    if held.pages and not assume_new:
        listed = [openid for openid in answered.openids if held.pages.get(openid)]
        known = pages.find_known(tx, account_id, listed)
    others = [*answered.gone, *(refusal.openid for refusal in answered.refused)]
    pages.add_held(tx, account_id, held, others, assume_new=assume_new)
    saved = answers.save(
        tx,
        account_id,
        answered,
        held,
        contradicts_list=answers.is_while_listing(account_id, run_id),
        confirmed=confirmed,
        assume_new=assume_new,
    )
    for refusal in answered.refused:
        quarantine.put(tx, account_id, refusal)
    enriched = saved.profiles + len(answered.gone) - _count_again(answered, known, saved)
    runs.advance(
        tx,
        run_id,
        traffic,
        enriched=enriched,
        unfollowed=saved.unfollowed,
        skipped=len(answered.refused) + len(answered.missing),
        step_counts=None if counted_as is None else {counted_as: enriched},
    )
    return AnswersSaved(saved.conflicts, list(known))


def _count_again(answered: Answers, known: dict[str, bool], saved: answers.Saved) -> int:
    """Return how many of these answers are about followers that the run has counted before.

    An earlier page listed them, and they were asked about then.
    """
    contested = {conflict.openid for conflict in saved.conflicts}
    counted = {openid for openid, is_due in known.items() if not is_due} - contested
    if not counted:
        return 0
    return len(counted.intersection([*answered.gone, *(i.openid for i in answered.following)]))


def _is_of(account_id: int) -> ColumnElement[bool]:
    return followers.c.account_id == account_id


def _is_stale(
    clock: DatabaseClock, account_id: int, refresh_after: timedelta
) -> tuple[ColumnElement[bool], ...]:
    return (
        _is_of(account_id),
        followers.c.subscribe.is_(True),
        followers.c.enriched_at < clock.now(-refresh_after),
        ~is_waiting(clock),
    )
