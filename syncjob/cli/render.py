"""Formats runs, status and quotas as text and as JSON. Pure: values in, text out."""

from datetime import date, datetime
from typing import Any

from syncjob.cli.report import plain, run_as_json
from syncjob.model.accounts import AccountStatus, FollowerCount
from syncjob.model.quota import QuotaUse
from syncjob.model.runs import Run
from syncjob.model.spans import next_sweep_in_words, span_in_words
from syncjob.model.sweeps import Sweep


def status_in_words(
    status: AccountStatus, next_sweep_at: datetime | None, *, died: bool = False
) -> str:
    """Return lines of a name and a text each.

    `next_sweep_at` is when the next sweep is due; None: the next run starts one. `died`: the
    process of the run that is recorded as running no longer exists.
    """
    lines = [
        ("last success", _age(status.last_success_at, status.as_of)),
        ("last run", _run_in_words(status.last_run) if status.last_run else "none yet"),
    ]
    if status.last_asking_run not in (None, status.last_run):
        lines.append(("before it", _run_in_words(status.last_asking_run)))
    if status.running is not None:
        run = status.running
        beat = f"last heartbeat {span_in_words(status.as_of - run.heartbeat_at)} ago"
        state = f"its process died, {beat}; the next run goes on" if died else beat
        lines.append(
            ("running", f"{run.command} #{run.id} since {_minute(run.started_at)}, {state}")
        )
    alike = f", OpenIDs begin with {status.openid_prefix}" if status.openid_prefix else ""
    lines.append(("account", f"{status.account.appid}{alike}"))
    quarantined = f", {status.quarantined:,} in quarantine" if status.quarantined else ""
    lines.append(
        (
            "followers",
            f"{status.followers:,} ({status.subscribed:,} subscribed, "
            f"{status.unenriched:,} unenriched{quarantined})",
        )
    )
    if status.account.unionids_missing_at is not None:
        since = _minute(status.account.unionids_missing_at)
        lines.append(("unionids", f"older profiles lack theirs, seen {since}: syncjob backfill"))
    if status.account.parked_at is not None:
        lines.append(
            (
                "unfollows",
                f"PARKED since {_minute(status.account.parked_at)}: {status.candidates:,} are "
                "missing from the list; see: syncjob unfollows",
            )
        )
    elif status.candidates:
        lines.append(("unfollows", f"{status.candidates:,} to be asked about by the next run"))
    if status.unanswered:
        lines.append(("unanswered", _unanswered_in_words(status.unanswered, status.refused)))
    used_up = [use.cgi_path for use in status.quotas if use.exhausted_at is not None]
    if used_up:
        lines.append(
            ("quota", f"used up: {', '.join(used_up)}; runs go on after midnight in Beijing")
        )
    sweep = _sweep_in_words(status.open_sweep, status.sealed_sweep)
    if status.open_sweep is None:
        sweep += f"; {next_sweep_in_words(next_sweep_at, status.as_of)}"
    lines.append(("sweep", sweep))
    if status.account.backfilling:
        started = status.account.backfill_started_at
        lines.append(("backfill", f"under way since {_minute(started)}; the next run goes on"))
    return "\n".join(f"{name:<14}{text}" for name, text in lines)


def count_in_words(day: date, count: FollowerCount) -> str:
    """Return how many followed at the end of the day; `at least` where the record is incomplete."""
    if count.at_most is None and count.complete_since is None:
        return f"{day}: at least {count.at_least:,} followed; no sweep is complete yet"
    if count.at_most is None:
        return (
            f"{day}: at least {count.at_least:,} followed; who left before "
            f"{_minute(count.complete_since)}, when the first sweep was complete, is not known"
        )
    if count.at_least == count.at_most:
        return f"{day}: {count.at_least:,} followed"
    return f"{day}: {count.at_least:,} to {count.at_most:,} followed"


def status_as_json(
    status: AccountStatus, next_sweep_at: datetime | None, *, died: bool = False
) -> dict[str, Any]:
    """Return the same for `json.dumps`: instants in ISO 8601, no OpenID."""
    age = status.as_of - status.last_success_at if status.last_success_at else None
    return {
        "appid": status.account.appid,
        "as_of": status.as_of.isoformat(),
        "last_success_at": _iso(status.last_success_at),
        "last_success_age_seconds": None if age is None else round(age.total_seconds()),
        "openid_prefix": status.openid_prefix,
        "followers": status.followers,
        "subscribed": status.subscribed,
        "unenriched": status.unenriched,
        "quarantined": status.quarantined,
        "unfollow_candidates": status.candidates,
        "unfollows_unanswered": status.unanswered,
        "unfollows_refused": status.refused,
        "unfollows_parked_at": _iso(status.account.parked_at),
        "unionids_missing_at": _iso(status.account.unionids_missing_at),
        "backfill_started_at": _iso(status.account.backfill_started_at),
        "backfill_finished_at": _iso(status.account.backfill_finished_at),
        "quota": quotas_as_json(status.quotas),
        "open_sweep": _sweep_as_json(status.open_sweep),
        "last_sealed_sweep": _sweep_as_json(status.sealed_sweep),
        "next_sweep_at": _iso(next_sweep_at),
        "running": _run_as_json(status.running, status),
        "running_died": died,
        "last_run": _run_as_json(status.last_run, status),
        "last_asking_run": _run_as_json(status.last_asking_run, status),
    }


def quotas_in_words(uses: list[QuotaUse]) -> str:
    """Return a table of today's calls and limits by endpoint."""
    rows = [("API", "calls today", "used by all", "limit", "")]
    for use in uses:
        source = ""
        if use.used is not None:
            source = f"WeChat said {use.used_when_told:,} at {_minute(use.told_at)}"
        elif use.told_at is not None:
            source = f"limit as of {_minute(use.told_at)}"
        rows.append(
            (
                use.cgi_path,
                f"{use.calls:,}",
                "" if use.used is None else f"{use.used:,}",
                "" if use.daily_limit is None else f"{use.daily_limit:,}",
                "used up until midnight in Beijing" if use.exhausted_at else source,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(
            (row[0].ljust(widths[0]), *map(str.rjust, row[1:4], widths[1:4]), row[4])
        ).rstrip()
        for row in rows
    )


def quotas_as_json(uses: list[QuotaUse]) -> list[dict[str, Any]]:
    """Return the same for `json.dumps`."""
    return [plain(use) for use in uses]


def runs_in_words(runs: list[Run]) -> str:
    """Return a table of runs in the given order; an error is printed below its row."""
    counted = ("pages", "new", "returned", "unfollowed", "enriched", "skipped", "calls", "retries")
    heads = ("run", "command", "started (UTC)", "took", "status", *counted)
    rows: list[tuple[str, ...]] = [heads]
    for run in runs:
        took = "" if run.finished_at is None else span_in_words(run.finished_at - run.started_at)
        rows.append(
            (
                str(run.id),
                run.command,
                f"{run.started_at:%Y-%m-%d %H:%M:%S}",
                took,
                "idle" if run.idle else run.status,
                *(f"{getattr(run, name):,}" for name in counted),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = []
    for row, below in zip(rows, [None, *runs], strict=True):
        cells = (
            cell.ljust(width) if index in (1, 2, 4) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
        if below is not None and below.message:
            lines.append(f"{'':>{widths[0]}}  {below.message}")
    return "\n".join(lines)


def _run_as_json(run: Run | None, status: AccountStatus) -> dict[str, Any] | None:
    if run is None:
        return None
    calls, counts = status.calls[run.id], status.step_counts[run.id]
    return run_as_json(run, status.account.appid, calls, counts)


def _sweep_as_json(sweep: Sweep | None) -> dict[str, Any] | None:
    if sweep is None:
        return None
    return {
        "id": sweep.id,
        "started_at": _iso(sweep.started_at),
        "finished_at": _iso(sweep.finished_at),
        "pages": sweep.pages,
        "openids": sweep.openids,
        "total_first": sweep.total_first,
        "total_last": sweep.total_last,
        "share_done": _share(sweep),
    }


def _run_in_words(run: Run) -> str:
    if run.idle:
        which = f"{run.command} #{run.id} of {_minute(run.started_at)}"
        return f"{which} idle: nothing was due, WeChat was not asked"
    took = ""
    if run.finished_at is not None:
        took = f" after {span_in_words(run.finished_at - run.started_at)}"
    text = (
        f"{run.command} #{run.id} of {_minute(run.started_at)} {run.status}{took}: "
        f"{_pages(run.pages)}, {run.new:,} new, {run.enriched:,} enriched, {run.calls:,} calls"
    )
    return f"{text}\n{'':<14}{run.message}" if run.message else text


def _sweep_in_words(open_sweep: Sweep | None, sealed: Sweep | None) -> str:
    if open_sweep is not None:
        share = _share(open_sweep)
        done = "" if share is None else f" ({share:.0%})"
        return (
            f"open since {_minute(open_sweep.started_at)}, page {open_sweep.pages} stored, "
            f"{open_sweep.openids:,} of {_total(open_sweep)} listed{done}; the next run goes on"
        )
    if sealed is not None:
        return (
            f"complete at {_minute(sealed.finished_at)}: {_pages(sealed.pages)}, "
            f"{sealed.openids:,} listed, WeChat said {_total(sealed)}"
        )
    return "none yet"


def _unanswered_in_words(count: int, refused: int) -> str:
    of_these = "" if refused == count else f"of {refused:,} of them "
    refuses = f", {of_these}WeChat refuses to speak" if refused else ", without an answer"
    return f"{count:,} missing from the list{refuses}; see: syncjob unfollows"


def _pages(count: int) -> str:
    return f"{count:,} page" if count == 1 else f"{count:,} pages"


def _total(sweep: Sweep) -> str:
    return "an unknown number" if sweep.total_last is None else f"{sweep.total_last:,}"


def _share(sweep: Sweep) -> float | None:
    """Return the stored share of the list, from 0 to 1; None if WeChat named no total."""
    if sweep.status == "sealed":
        return 1.0
    return min(1.0, sweep.openids / sweep.total_last) if sweep.total_last else None


def _age(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else f"{span_in_words(now - moment)} ago ({_minute(moment)})"


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
