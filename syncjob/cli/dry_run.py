"""Formats what a run would do, for `sync --dry-run` and `plan`. Pure: values in, text out."""

from syncjob.job.intentions import Intentions
from syncjob.model.spans import next_sweep_in_words


def in_words(intended: Intentions, *, batch_size: int) -> str:
    """Return a line for each step that a run would take."""
    if intended.running is not None:
        return (
            f"would end at once (75) and touch nothing: run {intended.running.id} is running since "
            f"{intended.running.started_at:%Y-%m-%d %H:%M} UTC"
        )
    lines = [_list_in_words(intended)]
    if intended.candidates and intended.parked:
        lines.append(
            f"would ask about none of the {intended.candidates:,} followers who are missing from "
            "the list, since they are parked, and end with 6; see: syncjob unfollows"
        )
    elif intended.candidates:
        lines.append(
            f"would ask about {intended.candidates:,} followers who are missing from the list"
        )
    for number, what in (
        (intended.unenriched, "fetch {} profiles that are due"),
        (intended.stale, "fetch {} profiles again that are old"),
    ):
        if number:
            calls = -(-number // batch_size)
            action = what.format(f"{number:,}")
            lines.append(f"would {action}, in {calls:,} call{'s' if calls > 1 else ''}")
    if intended.sweep == "start":
        lines.append("would fetch the profiles of followers that the list shows for the first time")
    for use in intended.exhausted:
        lines.append(
            f"would end with 75 where it needs {use.cgi_path}: its quota is used up, unless WeChat "
            "says that something is left"
        )
    if len(lines) == 1 and intended.sweep == "not yet":
        lines.append("would do nothing else")
    return "\n".join(lines)


def _list_in_words(intended: Intentions) -> str:
    sweep, sealed = intended.open_sweep, intended.sealed_sweep
    if intended.sweep == "resume" and sweep is not None:
        of = "" if sweep.total_last is None else f" of {sweep.total_last:,}"
        return (
            f"would go on with the open sweep, behind page {sweep.pages:,} "
            f"({sweep.openids:,}{of} listed)"
        )
    if intended.sweep == "not yet":
        last = "the last sweeps were discarded"
        if sealed is not None:
            last = f"the last sweep began {sealed.started_at:%Y-%m-%d %H:%M} UTC"
        due = next_sweep_in_words(intended.next_sweep_at, intended.as_of)
        return f"would not list: {last}; {due} (SYNCJOB_SWEEP_EVERY); or: syncjob sync --now"
    if sweep is not None:
        return "would give the open sweep up, since it is too old, and list everybody again"
    return "would list everybody"
