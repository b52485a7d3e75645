"""The plan command: estimates the cost of the next run."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from syncjob.cli.options import Command, settings_of

if TYPE_CHECKING:
    from syncjob.job.forecast import CallsNeeded, Forecast


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob plan
  syncjob plan --backfill --json""",
)
@click.option("--backfill", is_flag=True, help="What a backfill would take, not the next sync.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
@click.pass_context
def plan(context: click.Context, backfill: bool, as_json: bool) -> None:
    """Say what the next run would take: calls, time, days of quota, rows and room.

    Asks WeChat for one page of the list and one batch of profiles, and for what is left of the
    day's quotas: five calls at most. Writes nothing but the access token that it may have to fetch.
    """
    settings = settings_of(context).job()
    from syncjob.bootstrap import open_job
    from syncjob.job.forecast import forecast

    with open_job(settings) as job:
        found = forecast(
            job.store,
            job.client,
            job.quotas,
            job.account,
            batch_size=settings.batch_size,
            concurrency=settings.concurrency,
            backfill=backfill,
            sweep_every=settings.account.sweep_every,
            sweep_max_age=settings.account.sweep_max_age,
            refresh_after=settings.account.refresh_after,
            refresh_limit=settings.account.refresh_limit,
        )
    click.echo(json.dumps(_as_json(found), indent=2) if as_json else _in_words(found))


def _in_words(found: "Forecast") -> str:
    from syncjob.cli.dry_run import in_words
    from syncjob.model.spans import next_sweep_in_words

    total = "an unknown number" if found.total is None else f"{found.total:,}"
    listing, added = _calls_in_words(found.lists), f"about {found.new:,} to be added"
    if found.intended.sweep == "not yet":
        due = next_sweep_in_words(found.intended.next_sweep_at, found.intended.as_of)
        listing = f"not yet: {due}; or: syncjob sync --now"
        added = "none is added before the next sweep"
    lines = [
        ("followers", f"{total} at WeChat, {found.known:,} here; {added}"),
        ("list", listing),
        ("profiles", f"{found.profiles:,}: {_calls_in_words(found.batches)}"),
        *([("", _calls_in_words(found.singles))] if found.singles.calls else []),
        ("time", _time_in_words(found)),
        ("room", f"about {found.megabytes:,.0f} MB more in {found.database}"),
        ("fits", _fit_in_words(found)),
    ]
    words = "\n".join(f"{name:<11}{text}" for name, text in lines)
    if found.intended.running is not None:
        words += "\n" + in_words(found.intended, batch_size=1)
    return words


def _calls_in_words(needed: "CallsNeeded") -> str:
    text = (
        f"{needed.calls:,} calls of {needed.cgi_path}, {needed.seconds_a_call * 1000:.0f} ms each"
    )
    if needed.daily:
        share = needed.calls / needed.daily
        text += f"; {share:.1%} of the {needed.daily:,} that the reserve leaves of a day"
    if needed.left is not None:
        text += f", {max(0, needed.left):,} left today"
    return text


def _time_in_words(found: "Forecast") -> str:
    seconds = found.took.total_seconds()
    if seconds < 120:
        return f"about {max(1, seconds):.0f} s"
    if seconds < 7200:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _fit_in_words(found: "Forecast") -> str:
    if found.days is None:
        return "no: the quota allows none of these calls; see: syncjob quota"
    if found.days == 1:
        return "yes, into what is left of today's quotas"
    return (
        f"not today: runs would end with 75 at the quota and go on the next day, {found.days} "
        "quota days in all"
    )


def _as_json(found: "Forecast") -> dict[str, Any]:
    def calls(needed: "CallsNeeded") -> dict[str, Any]:
        return {**asdict(needed), "days": needed.days}

    next_at = found.intended.next_sweep_at
    return {
        "total": found.total,
        "known": found.known,
        "new": found.new,
        "profiles": found.profiles,
        "list": calls(found.lists),
        "batches": calls(found.batches),
        "singles": calls(found.singles),
        "seconds": round(found.took.total_seconds(), 1),
        "megabytes": round(found.megabytes, 1),
        "days": found.days,
        "fits_today": found.days == 1,
        "sweep": found.intended.sweep,
        "next_sweep_at": None if next_at is None else next_at.isoformat(),
    }
