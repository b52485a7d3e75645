"""Says on stderr how far the benchmark is."""

import sys
from datetime import UTC, datetime


def say(text: str) -> None:
    """Print a line with the time before it."""
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", file=sys.stderr, flush=True)
