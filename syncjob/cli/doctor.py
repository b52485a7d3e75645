"""The doctor command: checks all that a run needs."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from syncjob.cli.options import Call, Command, call_of, read_max_age, settings_of
from syncjob.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from syncjob.doctor.findings import Finding

SCHEMA_VERSION = 1
COLOURS = {"ok": "green", "note": "cyan", "unchecked": "cyan", "warning": "yellow", "fault": "red"}


@click.command(
    cls=Command,
    epilog="""\b
EXAMPLES
  syncjob doctor --config /etc/syncjob/syncjob.toml
  syncjob doctor --offline --json | jq '.findings[] | select(.level == "fault")'""",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--offline", is_flag=True, help="Ask WeChat nothing.")
@click.option(
    "--max-age",
    callback=read_max_age,
    default="26h",
    show_default=True,
    metavar="TIME",
    help="A last success that is older is a fault.",
)
@click.pass_context
def doctor(context: click.Context, as_json: bool, offline: bool, max_age: timedelta) -> None:
    """Look at all that a run needs: what is wrong, how bad it is, and the cure.

    Settings, database, history, schedule, network, clocks, token, permissions, quotas. Changes
    nothing, and asks WeChat a dozen times at most, one of them for a page of the list. Exits with 1
    if there is a fault, else with 0, warnings or not.
    """
    from syncjob.doctor.findings import Finding, Level, from_error

    try:
        reader = settings_of(context)
    except SettingsError as error:  # the file itself
        found: Iterable[Finding] = [from_error("settings", error)]
    else:
        from syncjob.doctor.examination import Examination

        found = Examination(reader, max_age=max_age, offline=offline).findings()
    call, worst = call_of(context), Level.OK
    found_json: list[dict[str, Any]] = []
    for finding in found:
        worst = max(worst, finding.level)
        if as_json:
            found_json.append(_as_json(finding, call))
        else:
            click.echo(_in_words(finding, call))
    if as_json:
        whole = {
            "schema_version": SCHEMA_VERSION,
            "worst": worst.name.lower(),
            "findings": found_json,
        }
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
    context.exit(ExitCode.FAILED if worst == Level.FAULT else ExitCode.DONE)


def _as_json(finding: "Finding", call: Call) -> dict[str, Any]:
    return {
        "check": finding.check,
        "level": finding.level.name.lower(),
        "what": finding.what,
        "cure": call.with_config(finding.cure) or None,
    }


def _in_words(finding: "Finding", call: Call) -> str:
    """Return the finding as one line."""
    level = finding.level.name.lower()
    cure = f" -> {call.with_config(finding.cure)}" if finding.cure else ""
    line = " ".join(f"{finding.check:<11}{finding.what}{cure}".splitlines())
    return click.style(f"{level:<10}", fg=COLOURS[level]) + line
