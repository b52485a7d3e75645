"""Signals: an exception at once, but never within a transaction."""

import threading

import pytest

from syncjob.errors import Interrupted
from syncjob.interruption import Interruption


def test_a_signal_raises_at_once() -> None:
    """Outside of what is deferred a signal is an exception where it arrives."""
    with pytest.raises(Interrupted, match="SIGTERM"):
        Interruption().arrive("SIGTERM")


def test_a_signal_waits_for_the_end_of_what_is_deferred() -> None:
    """Within it, even nested, nothing is torn; it raises at the end."""
    interruption, done = Interruption(), []
    with pytest.raises(Interrupted, match="SIGINT"), interruption.deferred():
        with interruption.deferred():
            interruption.arrive("SIGINT")
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_a_second_signal_is_ignored_at_first_and_then_raises_wherever_it_is() -> None:
    """While the end is recorded it is ignored; later it means that something hangs."""
    interruption = Interruption()
    with interruption.deferred(), pytest.raises(Interrupted, match="SIGTERM"):
        interruption.arrive("SIGINT")
        interruption.arrive("SIGTERM")
        interruption.GRACE = -1  # time passes
        interruption._until = 0
        interruption.arrive("SIGTERM")


def test_other_threads_neither_wait_nor_raise() -> None:
    """A thread's transactions do not keep the main thread from being interrupted."""
    interruption, inside, leave = Interruption(), threading.Event(), threading.Event()

    def work() -> None:
        with interruption.deferred():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    with pytest.raises(Interrupted):
        interruption.arrive("SIGINT")
    leave.set()
    thread.join()
