"""Signals: an exception at once, but not within a transaction, unless that does not end."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from syncjob.errors import Interrupted
from syncjob.interruption import TRANSACTION, WAIT_UNTIL, interruption


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    """Signals are handled as by a command."""
    stop = interruption.listen(lambda name: None)
    yield
    stop()


def send(number: int = signal.SIGTERM) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_raises_at_once(number: signal.Signals) -> None:
    """Outside of what is deferred a signal is an exception where it arrives."""
    with pytest.raises(Interrupted, match=number.name):
        send(number)


def test_a_signal_waits_for_the_end_of_what_is_deferred() -> None:
    """Within it, even nested, nothing is torn; it raises at the end."""
    done = []
    with pytest.raises(Interrupted, match="SIGINT"), interruption.deferred():
        with interruption.deferred():
            send(signal.SIGINT)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_what_is_deferred_for_too_long_is_interrupted() -> None:
    """A transaction of a database that has fallen silent would keep the process for minutes."""
    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM"), interruption.deferred():
        send()
        threading.Event().wait(30)
    assert TRANSACTION <= time.monotonic() - began < TRANSACTION + 2


def test_a_signal_that_comes_again_changes_nothing() -> None:
    """Systemd, a terminal and a person may all send one: the first has begun the end."""
    with pytest.raises(Interrupted, match="SIGTERM"):
        send()
    send(signal.SIGINT)
    send(signal.SIGTERM)
    with interruption.deferred():  # as the run's end is recorded
        send(signal.SIGHUP)


def test_after_a_signal_waits_are_short() -> None:
    """So that time is left to record the end."""
    assert interruption.left(60) == 60
    with pytest.raises(Interrupted):
        send()
    assert 0 < interruption.left(60) <= WAIT_UNTIL
    assert interruption.left(0.1) == 0.1


def test_a_signal_wins_over_what_fails_in_the_same_moment() -> None:
    """The run was interrupted, whatever else ends its transaction."""
    with pytest.raises(Interrupted), interruption.deferred():
        send()
        raise ValueError


def test_other_threads_neither_wait_nor_raise() -> None:
    """A thread's transactions do not keep the main thread from being interrupted."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with interruption.deferred():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    with pytest.raises(Interrupted):
        send()
    leave.set()
    thread.join()


def test_a_signal_is_forgotten_with_its_command() -> None:
    """The next one of this process has all its time, and its own signal."""
    with pytest.raises(Interrupted):
        send()
    assert interruption.left(10) < 10
    interruption.listen(lambda name: None)()
    assert interruption.left(10) == 10
