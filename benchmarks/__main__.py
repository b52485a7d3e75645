"""Runs one scenario and prints its table: `make bench`, or `python -m benchmarks`."""

import sys
from dataclasses import asdict

from benchmarks.databases import opened
from benchmarks.growth import growth
from benchmarks.options import Options, read_options
from benchmarks.postgresql import PostgreSQL
from benchmarks.processes import Failed
from benchmarks.race import race
from benchmarks.report import Table, about, write_json
from benchmarks.rerun import rerun
from benchmarks.startup import startup


def main() -> None:
    """Run the scenario; exit with 1 if a contender fails."""
    options = read_options()
    try:
        table, facts = _measured(options)
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    print(f"\n{table.text()}\n")
    for note in table.notes:
        print(note)
    if options.json:
        shown = {
            **asdict(options),
            "contenders": [entry.name for entry in options.contenders],
        }
        write_json(options.json, facts, shown, table)


def _measured(options: Options) -> tuple[Table, dict[str, str]]:
    if options.scenario == "startup":
        return startup(), about({})
    with opened(options.database) as database:
        facts = about(database.about())
        if options.scenario == "growth":
            return growth(options, database), facts
        if options.scenario == "rerun":
            if not isinstance(database, PostgreSQL):
                raise Failed("the rerun is measured on PostgreSQL: DATABASE=postgresql")
            return rerun(options, database), facts
        return race(options, database), facts


if __name__ == "__main__":
    main()
