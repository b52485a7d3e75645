"""Threads for the contenders that have some: an error in any of them ends the program."""

import os
import queue
import traceback
from collections.abc import Callable, Iterable
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")


def start(work: Callable[[], object]) -> Thread:
    """Start a thread that does the work."""

    def run() -> None:
        try:
            work()
        except BaseException:  # noqa: BLE001 - there is nothing to save: a rerun begins anew
            traceback.print_exc()
            os._exit(1)

    thread = Thread(target=run)
    thread.start()
    return thread


def fan_out(work: Callable[[Item], object], items: Iterable[Item], threads: int) -> None:
    """Call work(item) for each item from so many threads, and return when all is done.

    Items are measured two a thread ahead, no more, so that memory stays flat.
    """
    waiting: queue.Queue[Item | None] = queue.Queue(maxsize=2 * threads)

    def serve() -> None:
        while (item := waiting.get()) is not None:
            work(item)

    workers = [start(serve) for _ in range(threads)]
    for item in items:
        waiting.put(item)
    for _ in workers:
        waiting.put(None)
    for thread in workers:
        thread.join()
