"""The C library's heap, which Python's own memory lies in beside the drivers' buffers."""

import ctypes

M_ARENA_MAX = -8  # of glibc's malloc.h


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
