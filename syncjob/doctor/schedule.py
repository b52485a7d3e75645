"""Checks whether a systemd timer on this machine starts the job."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from syncjob.doctor.findings import Finding, note, ok, warning

UNITS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
# Percent-encoding has two hexadecimal digits after the %, systemd's specifiers (%d, %i) never.
UNIT_PERCENT = re.compile(
    r"^\s*(?:Environment|ExecStart(?:Pre|Post)?)\s*=.*(?<!%)(?:%%)*%[0-9A-Fa-f]{2}", re.MULTILINE
)
SECONDS = 5


def check_schedule(root: Path = Path("/")) -> Iterator[Finding]:
    """Look for timers of systemd whose names begin with syncjob.

    Cron is not looked at: a user's crontab is readable by root alone. That no timer is seen is no
    fault. `root` is where the machine's files are, for tests.
    """
    timers = _timers(root)
    for name, is_enabled in timers.items():
        state = _state_of(name)
        if not is_enabled:
            what = f"{name} is installed, and not enabled"
            yield warning("schedule", what, f"systemctl enable --now {name}")
        elif state in ("inactive", "failed"):
            yield warning("schedule", f"{name} is {state}", f"systemctl start {name}")
        else:
            yield ok("schedule", f"{name} of systemd is {'on' if state == 'active' else 'enabled'}")
    for place in _units_with_percent(root):
        what = f"{place} has a % that systemd takes for a specifier of its own"
        yield warning("schedule", what, "write %% for each, or put the setting into the file")
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        yield note("schedule", "this is a pod: its CronJob starts it")
    elif not timers:
        yield note(
            "schedule",
            "no timer of systemd was seen that runs it",
            "README: Schedule; if cron or another host runs it, all is well",
        )


def _timers(root: Path) -> dict[str, bool]:
    """Return the installed timers, and whether each is enabled.

    A template that has an instance is left out: by itself it starts nothing.
    """
    installed, enabled = set(), set()
    for folder in UNITS:
        with suppress(OSError):
            installed |= {path.name for path in (root / folder).glob("syncjob*.timer")}
            wants = (root / folder / "timers.target.wants").glob("syncjob*.timer")
            enabled |= {path.name for path in wants}
    instances = {name for name in installed | enabled if not name.endswith("@.timer")}
    return {name: name in enabled for name in sorted(instances or installed)}


def _state_of(timer: str) -> str:
    """Return the state that systemctl reports; `unknown` if it cannot be asked."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return "unknown"
    try:
        asked = [systemctl, "is-active", timer]
        done = subprocess.run(  # noqa: S603 - a name of a unit that is installed
            asked, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    said = done.stdout.strip()
    return said if said in ("active", "inactive", "failed") else "unknown"


def _units_with_percent(root: Path) -> Iterator[str]:
    """Yield our service units and drop-ins with a % that systemd takes for a specifier."""
    for folder in UNITS:
        for pattern in ("syncjob*.service", "syncjob*.service.d/*.conf"):
            with suppress(OSError):
                for path in sorted((root / folder).glob(pattern)):
                    with suppress(OSError, UnicodeDecodeError):
                        if UNIT_PERCENT.search(path.read_text("utf-8")):
                            yield f"/{path.relative_to(root)}"
