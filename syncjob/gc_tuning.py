"""Python's cycle collector, kept from looking through objects that are in no cycle."""

import atexit
import gc

# Of objects that may be in a cycle. A page has ten thousand OpenIDs, a group two thousand rows.
YOUNG, MIDDLE, OLD = 5_000, 20, 20


def reduce_gc() -> None:
    """Let Python look for cycles less often, and no more when the process ends.

    Imports make a hundred thousand objects, a run some hundred a follower, hardly one of them in a
    cycle. Python looks through them after every 700, and through all of them before it exits, which
    costs a short command a third of its time. Call it before large modules are imported.
    """
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    atexit.register(gc.freeze)


def freeze_imports() -> None:
    """Let Python look for no cycle among the objects that exist by now: all that was imported."""
    gc.freeze()
