"""Settings of Python's cyclic garbage collector (GC) for a program that makes few cycles."""

import atexit
import gc

# Thresholds of the three generations. A page has ten thousand OpenIDs, a transaction stores about
# two thousand rows.
YOUNG, MIDDLE, OLD = 5_000, 20, 20


def reduce_gc() -> None:
    """Run the GC less often, and not at exit.

    Imports create about 100 000 objects, a run about 100 per follower, and hardly any is in a
    cycle. By default the GC runs after every 700 objects and, for all objects, at exit: a third of
    a short command's time. Call this before large modules are imported.
    """
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    atexit.register(gc.freeze)


def freeze_imports() -> None:
    """Exclude all existing objects, those of the imported modules, from the GC."""
    gc.freeze()
