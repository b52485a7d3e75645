"""Threads that make calls: used again, left behind when they are late, gone after `close`."""

import sys
import threading
import time

import pytest

from syncjob.limits import CallThreads, Overdue, within
from tests.hangs import wait_until


def test_a_thread_makes_one_call_after_another() -> None:
    """Ten calls in turn start one thread."""
    threads = CallThreads()
    used = {threads.run(30, threading.get_ident) for _ in range(10)}
    threads.close()
    assert len(used) == 1
    assert threading.get_ident() not in used


def test_a_late_thread_is_left_behind_and_takes_no_other_call() -> None:
    """The caller leaves at its limit; the thread ends with what it was in."""
    threads, over, late = CallThreads(), threading.Event(), list[threading.Thread]()

    def hang() -> None:
        late.append(threading.current_thread())
        over.wait(30)

    began = time.monotonic()
    with pytest.raises(Overdue):
        threads.run(0.05, hang)
    assert time.monotonic() - began < 5
    assert threads.run(30, threading.current_thread) is not late[0]
    over.set()
    late[0].join(30)
    assert not late[0].is_alive()
    threads.close()


def test_a_call_that_wants_to_end_its_thread_is_one_error() -> None:
    """The limits of all other calls hold."""
    threads = CallThreads()
    with pytest.raises(SystemExit):
        threads.run(30, sys.exit)
    assert threads.run(30, lambda: "an answer") == "an answer"
    threads.close()


@pytest.mark.parametrize("is_late", [False, True])
def test_no_thread_is_left_when_all_is_closed(is_late: bool) -> None:
    """Not even one that was running then."""
    threads = CallThreads()
    thread = threads.run(30, threading.current_thread)
    if is_late:
        threads.close()
        thread = threads.run(30, threading.current_thread)
    else:
        threads.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_thread_of_its_own_ends_with_its_function() -> None:
    """Nothing is kept for a second one."""
    thread = within(30, threading.current_thread)
    wait_until(lambda: not thread.is_alive(), "the end of the thread")
