"""Memory as a run of millions of small objects needs it: the C library's and Python's own."""

import atexit
import gc

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE = 8 * 1024  # bytes; a request about a hundred people has fewer, its answer far more
# Of objects that may be in a cycle. A page has ten thousand OpenIDs, a group two thousand rows.
YOUNG, MIDDLE, OLD = 5_000, 20, 20


def keep_heap_small() -> None:
    """Let all threads allocate from one heap, and large blocks be given back. Before there are any.

    The GNU C library gives each thread a heap of its own, up to eight a core, and what is freed in
    one is not used by another: with 32 threads that is ten megabytes, and more the longer a run
    takes. Python runs one thread at a time, so nobody waits for the one heap. And with each large
    block that is freed it learns to keep larger ones in the heap, where they leave holes: four
    megabytes in a million followers. Does nothing where the C library is another.
    """
    import ctypes  # which the short commands do without

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, LARGE)
    mallopt(M_TRIM_THRESHOLD, 16 * LARGE)


def collect_less() -> None:
    """Let Python look for cycles less often, and no more when the process ends.

    Imports make a hundred thousand objects, a run some hundred a follower, hardly one of them in a
    cycle. Python looks through them after every 700, and through all of them before it exits, which
    costs a short command a third of its time. To be called before what is large is imported.
    """
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    atexit.register(gc.freeze)


def keep_imports() -> None:
    """Let Python look for no cycle among what is there by now: all that was imported."""
    gc.freeze()
