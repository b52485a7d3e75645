"""Worker threads for the contenders; an error in any thread ends the program."""

import os
import queue
import traceback
from collections.abc import Callable, Iterable
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")


def start(work: Callable[[], object]) -> Thread:
    """Start a thread that runs `work`."""

    def run() -> None:
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing to clean up: a rerun starts over
            traceback.print_exc()
            os._exit(1)

    thread = Thread(target=run)
    thread.start()
    return thread


def fan_out(work: Callable[[Item], object], items: Iterable[Item], threads: int) -> None:
    """Call work(item) for each item in `threads` threads; return when all are done.

    At most two items per thread are queued, so that memory stays flat.
    """
    waiting: queue.Queue[Item | None] = queue.Queue(maxsize=2 * threads)

    def run() -> None:
        while (item := waiting.get()) is not None:
            work(item)

    workers = [start(run) for _ in range(threads)]
    for item in items:
        waiting.put(item)
    for _ in workers:
        waiting.put(None)
    for thread in workers:
        thread.join()
