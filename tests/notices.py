"""Who is told in the tests: a command that writes down what it gets, and when runs go wrong."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import World

TOLD = Path("told.jsonl")  # in the test's own folder, where the command runs
WRITE_DOWN = f"sh -c 'cat >> {TOLD}; echo >> {TOLD}'"


class Operator:
    """Somebody who is told by a command, and runs the job in a world that goes wrong."""

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
        """Run the job with that fault, or none; return what was told at the end of it."""
        self.wechat.simulator.faults.clear()
        if fault is not None:
            self.wechat.simulator.faults.add(fault)
        assert self.wechat.run(*(arguments or ("sync",))) == code
        return self.news()

    def news(self) -> list[dict[str, Any]]:
        """Return what was told since it was last asked."""
        told = [json.loads(line) for line in TOLD.read_text().splitlines()] if TOLD.exists() else []
        self._read, new = len(told), told[self._read :]
        return new


def events(news: list[dict[str, Any]]) -> list[tuple[str, int, int | None]]:
    """Return of each notice what happened, the exit code and the errcode."""
    return [(told["event"], told["exit_code"], told["errcode"]) for told in news]
