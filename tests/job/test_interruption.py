"""Signals raise an exception at once, or at the end of a transaction, within a limit."""

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
    """Install the signal handlers of a command."""
    stop = interruption.listen(lambda name: None)
    yield
    stop()


def send(number: int = signal.SIGTERM) -> None:
    """Send a signal to this process."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_raises_at_once(number: signal.Signals) -> None:
    """Outside of a deferred block, a signal raises where it arrives."""
    with pytest.raises(Interrupted, match=number.name):
        send(number)


def test_a_signal_is_deferred_to_the_end_of_the_block() -> None:
    """Within a deferred block, also a nested one, the signal raises only at the end."""
    done = []
    with pytest.raises(Interrupted, match="SIGINT"), interruption.deferred():
        with interruption.deferred():
            send(signal.SIGINT)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_a_block_that_takes_too_long_is_interrupted() -> None:
    """A database that stopped responding would otherwise keep the process for minutes."""
    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM"), interruption.deferred():
        send()
        threading.Event().wait(30)
    assert TRANSACTION <= time.monotonic() - began < TRANSACTION + 2


def test_a_repeated_signal_has_no_effect() -> None:
    """Systemd, a terminal and a person may each send one: only the first counts."""
    with pytest.raises(Interrupted, match="SIGTERM"):
        send()
    send(signal.SIGINT)
    send(signal.SIGTERM)
    with interruption.deferred():  # as the run's end is recorded
        send(signal.SIGHUP)


def test_waits_are_short_after_a_signal() -> None:
    """So that time is left to record the end of the run."""
    assert interruption.left(60) == 60
    with pytest.raises(Interrupted):
        send()
    assert 0 < interruption.left(60) <= WAIT_UNTIL
    assert interruption.left(0.1) == 0.1


def test_a_signal_takes_precedence_over_an_error() -> None:
    """The run is interrupted, whatever else ends its transaction."""
    with pytest.raises(Interrupted), interruption.deferred():
        send()
        raise ValueError


def test_other_threads_do_not_defer_signals() -> None:
    """Transactions in other threads do not delay the signal in the main thread."""
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


def test_a_signal_ends_with_its_command() -> None:
    """The next command of the process starts without a signal."""
    with pytest.raises(Interrupted):
        send()
    assert interruption.left(10) < 10
    interruption.listen(lambda name: None)()
    assert interruption.left(10) == 10
