"""What the cycle collector looks through, in a process of its own."""

import subprocess
import sys

SHOW_COLLECTOR_AT_EXIT = """
import atexit, gc
atexit.register(lambda: print("kept from the collector:", gc.get_freeze_count() > 10_000))
from syncjob.cli.main import main
main()
"""


def test_at_its_end_a_command_looks_through_nothing() -> None:
    """The collector's last look, at all that was imported, was a third of a short command."""
    said = _run(SHOW_COLLECTOR_AT_EXIT, "--version")
    assert said.endswith("kept from the collector: True")


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
