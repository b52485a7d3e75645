"""Random histories as hypothesis draws and shrinks them: a state machine over `stage.py`.

A rule is what happens between two runs, or a run and what happens during it.
"""

from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from syncjob.job.sweep_rules import SweepRules
from syncjob.model.sweeps import Allowance
from tests.histories.deeds import DEEDS
from tests.histories.stage import INTERRUPTIONS, Database, History

NEVER = Allowance(1_000_000, 1)
STRICT = (Allowance(0, 0), Allowance(3, 0))
LIST_TROUBLE = ("-1", "40003", "42001", "45009", "drop", "html", "cut", "empty", "zero-errcode")
DETAIL_TROUBLE = ("-1", "40003", "40032", "45009", "drop", "cut", "garbage", "string-0", "46004")

number = st.integers(0, 39)
# What somebody does, mostly; what WeChat does, now and then.
deed = st.one_of(st.sampled_from(DEEDS[: DEEDS.index("hide")]), st.sampled_from(DEEDS))
change = st.tuples(deed, number)
moment = st.one_of(st.integers(0, 12), st.integers(0, 60))


def event(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[int, str, int]]:
    """Something at any moment of a run."""
    return st.tuples(moment, names, number)


changes = st.lists(change, max_size=4)
events = st.lists(
    event(st.one_of(deed, st.sampled_from([n for n in INTERRUPTIONS if n != "crash"]))), max_size=4
)
command = st.fixed_dictionaries(
    {}, optional={"command": st.just("backfill"), "restart": st.booleans()}
)

openings = st.fixed_dictionaries(
    {
        "followers": st.integers(0, 40),
        "timeless": st.sampled_from((0, 3, 1)),
        "quiet": st.sampled_from(("backfill", "refresh")),
        "account": st.fixed_dictionaries(
            {"seed": st.integers(1, 5)},
            optional={
                "profiles": st.sampled_from(("full", "docs")),
                "unfollowed": st.sampled_from(("wire-2020", "docs-2015", "docs")),
                "unionid": st.sampled_from((True, True, False)),
            },
        ),
        "switches": st.fixed_dictionaries(
            {"page_size": st.integers(3, 7), "shift_after_lost": st.booleans()},
            optional={
                "cursor": st.just("inclusive"),
                "last_cursor": st.sampled_from(("empty", "space", "absent")),
                "past_end": st.sampled_from(("empty-data", "null-openid", "no-total")),
                "unfollowed_cursor": st.just("40003"),
                "blank_entry": st.booleans(),
                "repeat_entry": st.booleans(),
                "repeat_first": st.booleans(),
                "total_off": st.integers(-3, 3),
                "shuffle": st.booleans(),
                "repeat_user": st.booleans(),
                "batch_limit": st.integers(1, 4),
            },
        ),
        "plan": st.fixed_dictionaries(
            {
                "batch_size": st.integers(2, 5),
                "sweep_every": st.sampled_from((timedelta(0), None)),
                "believe_moves_after": st.sampled_from((1, 3, 100)),
                "rules": st.builds(
                    SweepRules,
                    max_drift=st.sampled_from(
                        (Allowance(50, 0.01), Allowance(0, 0), Allowance(3, 0))
                    ),
                    max_unfollow=st.sampled_from((NEVER, Allowance(2, 0.05), Allowance(0, 0))),
                    max_age=st.just(timedelta(days=1)),
                ),
            },
            optional={
                "refresh_after": st.sampled_from((timedelta(0), timedelta(hours=1))),
                "refresh_limit": st.integers(1, 10),
            },
        ),
    }
)


class Histories(RuleBasedStateMachine):
    """Plays one history on the class's database."""

    database: ClassVar[Database]
    concurrency: ClassVar[int] = 1
    history: History | None = None

    @initialize(opening=openings)
    def open(self, opening: dict[str, Any]) -> None:
        """Make an account and an empty table."""
        plan = {**opening["plan"], "concurrency": self.concurrency}
        self.history = History(self.database, **{**opening, "plan": plan})

    @rule(changes=changes, waits=number)
    def live(self, changes: list[tuple[str, int]], waits: int) -> None:
        """Things happen between two runs, and time passes."""
        for name, k in changes:
            self.history.do(name, k)
        self.history.wait(waits)

    @rule(changes=changes, events=events, command=command)
    def run(self, changes: Any, events: Any, command: dict[str, Any]) -> None:
        """A run, and what happens before and during it."""
        self._run(changes, events, command)

    @rule(changes=changes, events=events, moment=moment)
    def crash(self, changes: Any, events: Any, moment: int) -> None:
        """A run whose process dies."""
        self._run(changes, [*events, (moment, "crash", 0)], {})

    @rule(
        changes=changes,
        events=events,
        what=st.one_of(
            st.tuples(st.just("user/get"), st.sampled_from(LIST_TROUBLE)),
            st.tuples(
                st.sampled_from(("user/info", "user/info/batchget")),
                st.sampled_from(DETAIL_TROUBLE),
            ),
        ),
        first=st.integers(0, 10),
        calls=st.integers(0, 12),
    )
    def run_in_trouble(
        self, changes: Any, events: Any, what: tuple[str, str], first: int, calls: int
    ) -> None:
        """A run some of whose calls go wrong."""
        self.history.trouble(*what, first, calls)
        self._run(changes, events, {})

    @rule(k=number, waits=st.lists(st.sampled_from((2, 3, 4, 4, 5)), min_size=3, max_size=5))
    def fade(self, k: int, waits: list[int]) -> None:
        """WeChat refuses to speak of somebody that the list does not show, run after run."""
        self.history.do("vanish", k)
        for wait in waits:
            self.history.wait(wait)
            self._run([], [], {"sweep_every": timedelta(0)})

    @rule(events=events, command=command)
    def foreign_token(self, events: Any, command: dict[str, Any]) -> None:
        """A run that gets the token of another account."""
        note(f"-> {self.history.run_with_foreign_token(events, **command)}")

    @rule(events=events, command=command)
    def approve(self, events: Any, command: dict[str, Any]) -> None:
        """The operator approves what is parked, and a run follows."""
        self.history.approve()
        self._run([], events, command)

    @rule()
    def reject(self) -> None:
        """The operator rejects what is parked."""
        self.history.reject()

    def _run(self, changes: Any, events: Any, command: dict[str, Any]) -> None:
        for name, k in changes:
            self.history.do(name, k)
        note(f"-> {self.history.run(events, **command)}")

    def teardown(self) -> None:
        """Mend everything: two quiet runs must reach the truth."""
        if self.history is None:
            return
        try:
            if self.history.sound:
                self.history.settle()
        finally:
            self.history.close()
