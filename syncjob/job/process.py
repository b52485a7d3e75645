"""Which process holds a run, and whether that process is known to be dead.

A run that is killed with SIGKILL leaves its row `running`. On the same machine the next run does
not wait for the heartbeat to expire: it sees that the process is gone.
"""

import os
import socket
from pathlib import Path

PROC = Path("/proc")


def this_process() -> str:
    """Return a text that identifies this process, also if its number is reused later."""
    return f"{_machine()} pid={os.getpid()} start={_start_time(os.getpid())}"


def is_dead(holder: str) -> bool:
    """Tell whether the process of a holder text is certainly gone; False if that is unknown.

    Only a process of the same boot and PID namespace can be looked up: the same number in another
    container, or on another host, is another process.
    """
    machine, _, process = holder.rpartition(" pid=")
    pid, _, start = process.partition(" start=")
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # alive, and of another user
        pass
    now = _start_time(int(pid))
    return bool(start and now) and start != now


def _machine() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (PROC / "self/ns/pid").readlink()
    except OSError:  # no Linux
        return f"host={socket.gethostname()}"
    return f"host={socket.gethostname()} boot={boot} ns={namespace}"


def _start_time(pid: int) -> str:
    """Return the clock tick at which the process started, "" where /proc does not tell."""
    try:
        # The name in parentheses may hold blanks; field 22 is counted from behind it.
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
