"""Is there something on this machine that starts the job by itself?"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from syncjob.doctor.findings import Finding, note, ok, warning

CRONTABS = ("etc/crontab", "etc/cron.d", "var/spool/cron/crontabs", "var/spool/cron")
UNITS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
LINE = re.compile(r"^(?!\s*#).*\bsyncjob\b.*\b(?:sync|backfill)\b", re.MULTILINE)
SECONDS = 5


def check_schedule(root: Path = Path("/")) -> Iterator[Finding]:
    """Look for timers of systemd and lines of cron that name syncjob.

    What only root may read is not seen, and another host's is not either: that none is seen is no
    fault. `root` is where the machine's files are, for tests.
    """
    timers, lines = _timers(root), list(_cron_files(root))
    for name, is_enabled in timers.items():
        state = _state_of(name)
        if not is_enabled:
            what = f"{name} is installed, and not enabled"
            yield warning("schedule", what, f"systemctl enable --now {name}")
        elif state in ("inactive", "failed"):
            yield warning("schedule", f"{name} is {state}", f"systemctl start {name}")
        else:
            yield ok("schedule", f"{name} of systemd is {'on' if state == 'active' else 'enabled'}")
    for place in lines:
        yield ok("schedule", f"cron runs it: {place}")
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        yield note("schedule", "this is a pod: its CronJob starts it")
    elif not timers and not lines:
        yield note(
            "schedule",
            "no timer of systemd and no line of cron was seen that runs it",
            "README: Schedule; if it is another host's or user's, all is well",
        )


def _timers(root: Path) -> dict[str, bool]:
    """Return the timers, and which of them are started with the machine.

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
    """Return what systemctl says of a timer; unknown where it cannot be asked."""
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


def _cron_files(root: Path) -> Iterator[str]:
    for place in CRONTABS:
        with suppress(OSError):
            path = root / place
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                with suppress(OSError, UnicodeDecodeError):
                    if file.is_file() and LINE.search(file.read_text("utf-8")):
                        yield f"/{file.relative_to(root)}"
