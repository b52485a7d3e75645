"""Notices in the tests: a command that records what it gets, and runs that fail."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import World

NOTICES = Path("notices.jsonl")  # in the test's own folder, where the command runs
WRITE_DOWN = f"sh -c 'cat >> {NOTICES}; echo >> {NOTICES}'"


class Operator:
    """An operator who is notified by a command, and runs the job in a world with faults."""

    def __init__(self, wechat: World) -> None:
        self.wechat = wechat
        self._read = 0
        wechat.set(
            SYNCJOB_SWEEP_EVERY="0",
            SYNCJOB_PROBE_AFTER="off",
            SYNCJOB_ON_FAILURE=WRITE_DOWN,
            STATE_DIRECTORY=str(Path.cwd() / "state"),
        )

    def after(self, fault: str | None, code: int, *arguments: str) -> list[dict[str, Any]]:
        """Run the job with that fault, or none; return the notices sent at the end of it."""
        self.wechat.simulator.faults.clear()
        if fault is not None:
            self.wechat.simulator.faults.add(fault)
        assert self.wechat.run(*(arguments or ("sync",))) == code
        return self.news()

    def news(self) -> list[dict[str, Any]]:
        """Return the notices sent since the last call."""
        notices = (
            [json.loads(line) for line in NOTICES.read_text().splitlines()]
            if NOTICES.exists()
            else []
        )
        self._read, new = len(notices), notices[self._read :]
        return new


def events(news: list[dict[str, Any]]) -> list[tuple[str, int, int | None]]:
    """Return of each notice what happened, the exit code and the errcode."""
    return [(notices["event"], notices["exit_code"], notices["errcode"]) for notices in news]
