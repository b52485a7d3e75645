"""The progress bars of a run on a terminal, and its summary."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from syncjob.job.job import Progress as Watched
from syncjob.model.runs import Run

REFRESHES_A_SECOND = 4


class CountColumn(ProgressColumn):
    """The count, and the total if it is known."""

    def render(self, task: Task) -> Text:
        """Return `count/total`, or the count alone."""
        total = "" if task.total is None else f"/{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total}", style="progress.download")


class RateColumn(ProgressColumn):
    """The current rate."""

    def render(self, task: Task) -> Text:
        """Return the recent rate, empty until there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="default")


class TimeColumn(ProgressColumn):
    """The time left; at the end, the time taken."""

    max_refresh = 0.5  # seconds: the estimate jumps about

    def render(self, task: Task) -> Text:
        """Return `… left` or `took …`."""
        if task.finished:
            took = timedelta(seconds=round(task.finished_time or 0))
            return Text(f"took {took}", style="progress.elapsed")
        if task.time_remaining is None:
            return Text("")
        left = timedelta(seconds=round(task.time_remaining))
        return Text(f"{left} left", style="progress.remaining")


class ProgressBars(Watched):
    """Two progress bars: listed followers and stored profiles."""

    counts = True

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._list = progress.add_task("list", total=None, visible=False)
        self._profiles = progress.add_task("profiles", total=None, visible=False)
        self._lock = threading.Lock()
        self._listed = self._due = self._stored = 0
        self._share_listed = 1.0

    def listed(self, openids: int, total: int | None) -> None:
        """Advance the first bar, never back: a held page is reported again when it is stored."""
        with self._lock:
            openids = self._listed = max(self._listed, openids)
            total = None if total is None else max(total, openids)
            self._share_listed = openids / total if total else 1.0
            self._progress.update(self._list, completed=openids, total=total, visible=True)

    def due(self, people: int) -> None:
        """Add profiles to the total of the second bar."""
        with self._lock:
            self._due += people
            self._show()

    def expect(self, people: int) -> None:
        """Set the total of the second bar, which is known now."""
        with self._lock:
            self._share_listed = 1.0
            self._due = max(self._due, self._stored + people)
            self._show()

    def stored(self, people: int) -> None:
        """Advance the second bar."""
        with self._lock:
            self._stored += people
            self._show()

    def _show(self) -> None:
        if not self._due and not self._stored:
            return
        # Until the list is complete, assume the same share of due profiles in the rest of it.
        expected = round(self._due / self._share_listed) if self._share_listed else self._due
        self._progress.update(
            self._profiles,
            completed=self._stored,
            total=max(expected, self._stored),
            visible=True,
        )


@contextmanager
def shown_progress() -> Iterator[Watched]:
    """Show the bars on stderr during the block; log lines are printed above them."""
    progress = Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(),
        CountColumn(),
        RateColumn(),
        TimeColumn(),
        console=Console(stderr=True),
        refresh_per_second=REFRESHES_A_SECOND,
        redirect_stdout=False,
    )
    handlers = [
        (handler, handler.stream)
        for handler in logging.getLogger("syncjob").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    with progress:
        for handler, _ in handlers:
            handler.setStream(sys.stderr)  # which the bars have taken over
        try:
            yield ProgressBars(progress)
        finally:
            for handler, stream in handlers:
                handler.setStream(stream)


def idle_summary(next_sweep: str) -> str:
    """Return the summary of an idle run, with what to do to list at once."""
    return (
        f"Nothing was due, WeChat was not asked; {next_sweep}.\n"
        "To list now: syncjob sync --now; to try the credentials: syncjob doctor"
    )


def summary(run: Run) -> str:
    """Return the counts of a run in one line."""
    took = timedelta(0) if run.finished_at is None else run.finished_at - run.started_at
    did = [
        f"{number:,} {what}"
        for number, what in (
            (run.pages, "page" if run.pages == 1 else "pages"),
            (run.new, "new"),
            (run.returned, "returned"),
            (run.unfollowed, "left"),
            (run.enriched, "profiles"),
            (run.skipped, "skipped"),
        )
        if number
    ]
    return (
        f"Run {run.id} {run.status} after {took.total_seconds():.1f} s: "
        f"{', '.join(did) or 'nothing to do'}; {run.calls:,} calls"
    )
