"""What a process does with memory, each in a process of its own."""

import subprocess
import sys

COUNT_LARGE_BLOCKS = """
import ctypes
from syncjob.heap import keep_heap_small

MB = 1 << 20  # more than is free among what was imported

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks hblks".split()]
    _fields_ += [("others", ctypes.c_int * 6)]

mallinfo = ctypes.CDLL(None).mallinfo
mallinfo.restype = Info
{before}
for _ in range(3):  # from blocks that are freed, the C library learns what to keep
    del (bytearray(4 * MB)[0:0])
blocks = mallinfo().hblks
kept = bytearray(MB)
print(mallinfo().hblks - blocks)
"""

SHOW_COLLECTOR_AT_EXIT = """
import atexit, gc
atexit.register(lambda: print("kept from the collector:", gc.get_freeze_count() > 10_000))
from syncjob.cli.main import main
main()
"""


def test_a_large_block_goes_back_when_it_is_freed() -> None:
    """So that nothing is left of it among what lives longer, however long a run takes."""
    assert _run(COUNT_LARGE_BLOCKS.format(before="keep_heap_small()")) == "1"
    assert _run(COUNT_LARGE_BLOCKS.format(before="")) == "0", "what the C library does by itself"


def test_at_its_end_a_command_looks_through_nothing() -> None:
    """The collector's last look, at all that was imported, was a third of a short command."""
    said = _run(SHOW_COLLECTOR_AT_EXIT, "--version")
    assert said.endswith("kept from the collector: True")


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
