"""Memory as a run of millions of small objects needs it: the C library's and Python's own."""

import ctypes
import gc

M_ARENA_MAX = -8  # of glibc's malloc.h
# Of objects that may be in a cycle. A page has ten thousand OpenIDs, a group two thousand rows.
YOUNG, MIDDLE, OLD = 5_000, 20, 20


def share_one_heap() -> None:
    """Let all threads allocate from one heap. To be called before threads are started.

    The GNU C library gives each thread a heap of its own, up to eight a core, and what is freed in
    one is not used by another: with 32 threads that is ten megabytes, and more the longer a run
    takes. Python runs one thread at a time, so nobody waits for the one heap. Does nothing where
    the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_ARENA_MAX, 1)


def collect_less() -> None:
    """Let Python look for cycles less often, and never among what is there by now.

    A run makes and drops some hundred objects a follower, none of them in a cycle; looking for one
    after every 700, and through all that was imported, costs a tenth of the run. To be called when
    everything is imported.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
