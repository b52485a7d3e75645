"""The options of `make bench`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lineup import Contender, pick

SCENARIOS = ("race", "rerun", "growth", "startup")


@dataclass(frozen=True)
class Options:
    """What to measure, and how often; `latency` is in milliseconds."""

    scenario: str
    followers: int
    latency: float
    concurrency: int
    repeat: int
    database: str
    contenders: list[Contender]
    sizes: list[int]
    profiles: str
    tls: bool
    json: Path | None


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line; exit with a message if an option is invalid."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--scenario", choices=SCENARIOS, default="race")
    add("--followers", type=int, default=200_000, metavar="N")
    add("--latency", type=float, default=50, metavar="MS")
    add("--concurrency", type=int, default=32, metavar="CALLS")
    add("--repeat", type=int, default=3, metavar="TIMES")
    add("--database", choices=("postgresql", "sqlite"), default="postgresql")
    add("--contenders", default="", metavar="NAME,NAME", help="default: all of that database")
    add("--sizes", default="100000,5000000", metavar="N,N", help="for the scenario growth")
    add("--profiles", choices=("full", "today", "docs"), default="full")
    add("--tls", action="store_true", help="WeChat speaks HTTPS")
    add("--json", type=Path, metavar="FILE", help="write the result there, too")
    parsed = parser.parse_args(arguments)
    try:
        parsed.contenders = pick(parsed.database, parsed.contenders)
        parsed.sizes = [int(size) for size in parsed.sizes.split(",")]
    except ValueError as error:
        parser.error(str(error))
    if min(parsed.repeat, parsed.concurrency, parsed.followers, *parsed.sizes) < 1:
        parser.error("nothing to measure")
    return Options(**vars(parsed))
