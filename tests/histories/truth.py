"""What must hold of the tables, measured against the simulator's truth: after each run, at the end.

Each check raises AssertionError with words that name the person by number of following.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Engine, column, select, table

from syncjob.database.column_types import UTCDateTime
from syncjob.database.tables import (
    accounts,
    followers,
    quarantine,
    runs,
    sweep_openids,
    sweeps,
    unfollow_candidates,
)
from syncjob.simulator import Account

BOUNDS = ("followed_after", "followed_before", "unfollowed_after", "unfollowed_before")
REFUSALS = (40003, 43004, 46004, 50005, 65302)
PROFILE = ("nickname", "sex", "language", "city", "province", "country", "headimgurl", "unionid")
PROFILE += ("remark", "groupid", "tagid_list", "subscribe_scene", "qr_scene", "qr_scene_str")

_periods = table(
    "follow_periods",
    column("account_id"),
    column("openid"),
    *(column(name, UTCDateTime) for name in BOUNDS),
    column("unsubscribe_reason"),
)
# What a person or WeChat can change about a row.
NOTICES = (*PROFILE, "subscribe", "subscribe_time", "extra")
Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """All that is stored of one account at one moment; `at` is that moment in unix seconds."""

    at: float
    account: Row
    followers: dict[str, Row]
    periods: dict[str, list[Row]]
    runs: list[Row]
    sweeps: list[Row]
    seen: list[Row]
    candidates: dict[str, Row]
    quarantine: dict[str, Row]

    @property
    def subscribed(self) -> set[str]:
        """The OpenIDs that are said to follow."""
        return {openid for openid, row in self.followers.items() if row["subscribe"]}


def read_tables(engine: Engine, appid: str, at: float) -> Tables:
    """Read what is stored of the account."""
    with engine.connect() as connection:

        def rows(of: Any, *order: Any) -> list[Row]:
            statement = select(of).where(of.c.account_id == account["id"]).order_by(*order)
            return [dict(row) for row in connection.execute(statement).mappings()]

        found = connection.execute(select(accounts).where(accounts.c.appid == appid))
        account = dict(found.mappings().one())
        periods: dict[str, list[Row]] = {}
        # Who left and came back within a second has two that began at the same.
        for row in rows(
            _periods, _periods.c.followed_before, _periods.c.unfollowed_before.is_(None)
        ):
            periods.setdefault(row["openid"], []).append(row)
        swept = rows(sweeps, sweeps.c.id)
        mine = [row["id"] for row in swept]
        seen = connection.execute(
            select(sweep_openids).where(sweep_openids.c.sweep_id.in_(mine))
        ).mappings()
        return Tables(
            at=at,
            account=account,
            followers={row["openid"]: row for row in rows(followers)},
            periods=periods,
            runs=rows(runs, runs.c.id),
            sweeps=swept,
            seen=[dict(row) for row in seen],
            candidates={row["openid"]: row for row in rows(unfollow_candidates)},
            quarantine={row["openid"]: row for row in rows(quarantine)},
        )


@dataclass
class Lags:
    """What the list has shown, and when: where it lags behind the truth, so may the bounds.

    `listings` are the moments at which an answer that was then stored listed the person; `asked`
    those at which WeChat was asked about them alone, with the request; `people`
    are those that the list was ever made to hide or to keep; `short` tells whether it was ever cut
    or led in circles.
    """

    listings: dict[str, list[float]] = field(default_factory=dict)
    asked: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    people: set[str] = field(default_factory=set)
    short: bool = False

    def lags(self, openid: str) -> bool:
        """Tell whether the list may ever have said something else than the truth of this one."""
        return self.short or openid in self.people


def check_run(before: Tables, after: Tables, account: Account, lags: Lags) -> None:
    """Check what no run may ever do, however it went and ended."""
    check_followers(before, after, account, lags)
    check_states(after)
    for openid, recorded in after.periods.items():
        check_periods(openid, recorded, account, lags)


def check_followers(before: Tables, after: Tables, account: Account, lags: Lags) -> None:
    """Check that no row vanished, nobody was wrongly marked as gone, and nothing is wrong."""
    assert before.followers.keys() <= after.followers.keys(), "a row vanished"
    for openid, row in after.followers.items():
        who = named(account, openid)
        old = before.followers.get(openid)
        if row["unionid"] is not None:
            ever = account.unionids(openid)
            assert row["unionid"] in ever, f"{who}: a wrong unionid"
            was = None if old is None else old["unionid"]
            assert was is None or ever.index(row["unionid"]) >= ever.index(was), (
                f"{who}: an earlier unionid is back"
            )
        assert (row["unsubscribed_at"] is None) == row["subscribe"], f"{who}: unsubscribed_at"
        assert row["subscribe"] or row["unfollowed_before"], f"{who}: gone, and no end"
        ended = row["unfollowed_before"] is not None
        assert (row["unsubscribe_reason"] is not None) == ended, f"{who}: unsubscribe_reason"
        if old is not None:
            moved = [name for name in NOTICES if old[name] != row[name]]
            if moved:
                assert row["changed_at"] > old["changed_at"], f"{who}: {moved}, not changed_at"
            assert row["first_seen_at"] == old["first_seen_at"], f"{who}: first_seen_at moved"
            erased = [name for name in PROFILE if old[name] is not None and row[name] is None]
            assert not erased, f"{who}: {erased} erased"
        if not row["subscribe"] and row["unsubscribe_reason"] == "refused":
            if old is None or old["subscribe"]:
                check_refused(openid, row, after, account, lags)
        elif not row["subscribe"] and (old is None or old["subscribe"]):
            assert was_gone(account, openid, before.at, after.at), f"{who}: a false unfollow"


def check_refused(openid: str, row: Row, tables: Tables, account: Account, lags: Lags) -> None:
    """Check that three sealed sweeps over a day missed them, WeChat refusing after each."""
    end = _unix(row["changed_at"])
    listed = max((at for at in lags.listings.get(openid, []) if at <= end), default=0.0)
    missed = [
        (_unix(sweep["started_at"]), _unix(sweep["finished_at"]))
        for sweep in tables.sweeps
        if sweep["status"] == "sealed" and listed <= _unix(sweep["started_at"]) <= end
    ]
    asked = [(at, request.errcode) for at, request in lags.asked[openid] if at <= end]
    refused = []
    for number, (started, finished) in enumerate(missed):
        until = missed[number + 1][1] if number + 1 < len(missed) else end
        if any(finished <= at <= until and errcode in REFUSALS for at, errcode in asked):
            refused.append(started)
    who = named(account, openid)
    words = f"{who}: ended as refused: listed {listed}, missed by {missed}, asked {asked}"
    assert len(refused) >= 3, words
    assert refused[-1] - refused[0] >= 24 * 3600, words


def check_sealed(tables: Tables, count: int, share: float) -> None:
    """Check that each sealed sweep is of a day, and found about as many as WeChat said."""
    for sweep in tables.sweeps:
        if sweep["status"] == "sealed":
            took = sweep["finished_at"] - sweep["started_at"]
            assert took < timedelta(hours=25), f"sealed after {took}"
        for total in (sweep["total_first"], sweep["total_last"]):
            if sweep["status"] == "sealed" and total is not None:
                off = abs(sweep["openids"] - total)
                assert off <= max(count, share * total), f"sealed, and {off} off"


def check_parked(before: Tables, after: Tables, lags: Lags) -> None:
    """Check that the sweep which parked has marked none of those it did not list."""
    sweep = [sweep for sweep in after.sweeps if sweep["status"] == "sealed"][-1]
    start, end = _unix(sweep["started_at"]), _unix(sweep["finished_at"])
    for openid in before.subscribed - after.subscribed:
        marked = _unix(after.followers[openid]["changed_at"])
        listed = [at for at in lags.listings.get(openid, []) if start <= at <= end]
        assert listed or marked <= end, "somebody parked was marked"


def check_states(tables: Tables) -> None:
    """Check that runs, sweeps, what sweeps have seen, and candidates agree with each other."""
    assert sum(run["status"] == "running" for run in tables.runs) <= 1
    opened = [sweep["id"] for sweep in tables.sweeps if sweep["status"] == "open"]
    assert len(opened) <= 1
    assert {row["sweep_id"] for row in tables.seen} <= set(opened), "a sweep's OpenIDs outlive it"
    for sweep in tables.sweeps:
        assert (sweep["reason"] is not None) == (sweep["status"] == "discarded")
    assert tables.candidates.keys() <= tables.subscribed, "a candidate who is gone already"
    sealed = [sweep["id"] for sweep in tables.sweeps if sweep["status"] == "sealed"]
    asked = {row["sweep_id"] for row in tables.candidates.values() if not row["undecided"]}
    assert asked <= set(sealed[-1:]), "candidates of a sweep that is not the last"
    assert tables.quarantine.keys() <= tables.followers.keys()


def check_periods(openid: str, recorded: list[Row], account: Account, lags: Lags) -> None:
    """Check that the bounds of each recorded period hold instants of true ones, in their order."""
    true = account.periods(openid)
    stored = [
        [*(_unix(row[name]) for name in BOUNDS), row["unsubscribe_reason"] == "refused"]
        for row in recorded
    ]
    stored.sort(key=lambda row: (row[1], row[3] or float("inf")))
    who = named(account, openid)
    words = f"{who}: recorded {stored}, true {true}, listed {lags.listings.get(openid)}"
    ends = [row[3] for row in stored]
    assert None not in ends[:-1], f"an open period before the last: {words}"
    first = 0
    stayed = None  # number of the period that goes on although one was recorded as ended
    for followed_after, followed_before, unfollowed_after, unfollowed_before, refused in stored:
        starts = [
            number
            for number, (since, _) in enumerate(true)
            if number >= first
            and since <= followed_before
            and (
                followed_after is None
                or number == stayed
                or (
                    followed_after <= _shown_from(openid, since, lags)
                    and (followed_after != followed_before or since == followed_after)
                )
            )
        ]
        assert starts, f"no true follow within the bounds: {words}"
        if unfollowed_before is None:
            continue
        ends = [
            number
            for number, (_, until) in enumerate(true)
            if number >= starts[0]
            and until is not None
            and until <= unfollowed_before
            and (
                unfollowed_after is None
                or unfollowed_after <= _shown_until(openid, number, true, lags)
            )
        ]
        stayed = None
        if refused and not ends:
            # Whether a refused OpenID still follows cannot be known.
            follows = [
                number
                for number, (since, until) in enumerate(true)
                if number >= starts[0]  # a later one, if a short absence was never seen
                and since <= unfollowed_before
                and (until is None or until > unfollowed_before)
            ]
            assert follows, f"neither there nor gone within the bounds: {words}"
            first = stayed = follows[0]
            continue
        assert ends, f"no true unfollow within the bounds: {words}"
        first = ends[0] + 1


def _shown_from(openid: str, since: float, lags: Lags) -> float:
    """Return when the list first showed the person after the follow; that follow if it is right."""
    if not lags.lags(openid):
        return since
    return min((at for at in lags.listings.get(openid, []) if at >= since), default=float("inf"))


def _shown_until(openid: str, number: int, true: list[Any], lags: Lags) -> float:
    """Return when the list last showed the person after the unfollow; that unfollow if right."""
    until: float = true[number][1]
    if not lags.lags(openid):
        return until
    back = true[number + 1][0] if number + 1 < len(true) else float("inf")
    listings = lags.listings.get(openid, [])
    return max((at for at in listings if until <= at <= back), default=until)


def check_truth(tables: Tables, account: Account) -> None:
    """Check that the tables say of everybody exactly what WeChat says."""
    truth = set(account.openids())
    differ = sorted(named(account, openid) for openid in tables.subscribed ^ truth)
    assert not differ, f"who follows differs: {differ}"
    for openid in truth:
        row, user = tables.followers[openid], account.user(openid)
        who = named(account, openid)
        for name in PROFILE:
            assert row[name] == user.get(name), f"{who}: {name} is {row[name]!r}"
        assert row["enriched_at"] is not None, f"{who}: never enriched"
        since: Any = user.get("subscribe_time")
        stored = row["subscribe_time"]
        assert stored == (since and datetime.fromtimestamp(since, UTC)), f"{who}: subscribe_time"
        last = tables.periods[openid][-1]
        assert last["unfollowed_before"] is None, (
            f"{who}: their last period has an end: {tables.periods[openid]}, {row}"
        )
        if since:
            assert last["followed_after"] == last["followed_before"] == stored, f"{who}: since when"
    for openid in tables.followers.keys() - truth:
        last = tables.periods[openid][-1]
        assert last["unfollowed_before"] is not None, f"{named(account, openid)}: no end"
    assert not tables.quarantine, "somebody is left in quarantine"
    assert not tables.candidates, "somebody is left a candidate"


def was_gone(account: Account, openid: str, start: float, end: float) -> bool:
    """Tell whether there was a moment from `start` to `end` at which the person did not follow."""
    true = account.periods(openid)
    gaps = [(until, since) for (_, until), (since, _) in pairwise(true)]
    gaps.append((true[-1][1], float("inf")))
    return any(until is not None and until <= end and start <= since for until, since in gaps)


def named(account: Account, openid: str) -> str:
    """Name a person by number, so that a failure can be read."""
    return f"person {account.find(openid)}"


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two snapshots of rows are equal."""
    return dict(one) == dict(other)


def _unix(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
