"""Is there something on this machine that starts the job by itself?"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from syncjob.doctor.findings import Finding, note, ok, warning

CRONTABS = ("etc/crontab", "etc/cron.d", "var/spool/cron/crontabs", "var/spool/cron")
UNITS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
LINE = re.compile(r"^(?!\s*#).*\bsyncjob\b.*\b(?:sync|backfill)\b", re.MULTILINE)
# cron makes a line's end of each % that no backslash stands before; assignments keep theirs.
CRON_COMMAND = re.compile(r"(?!\s*#)(?!\s*\w+\s*=).*\bsyncjob", re.IGNORECASE)
BARE_PERCENT = re.compile(r"(?<!\\)%")
# Of systemd's specifiers (%d, %i) none is two hexadecimal digits, and what a URL encodes is.
UNIT_PERCENT = re.compile(
    r"^\s*(?:Environment|ExecStart(?:Pre|Post)?)\s*=.*(?<!%)(?:%%)*%[0-9A-Fa-f]{2}", re.MULTILINE
)
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
    for place in _cron_files(root, _is_cut):
        what = f"{place} has a % in a line with syncjob, and cron ends the command there"
        yield warning("schedule", what, r"write \% for each, or put the setting into the file")
    for place in _units_with_percent(root):
        what = f"{place} has a % that systemd takes for a specifier of its own"
        yield warning("schedule", what, "write %% for each, or put the setting into the file")
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


def _runs_it(crontab: str) -> bool:
    return LINE.search(crontab) is not None


def _is_cut(crontab: str) -> bool:
    """Tell whether a command with syncjob in it has a % that is not escaped."""
    lines = crontab.splitlines()
    return any(BARE_PERCENT.search(line) for line in lines if CRON_COMMAND.match(line))


def _units_with_percent(root: Path) -> Iterator[str]:
    """Return the services of ours, and what was added to them, that have such a %."""
    for folder in UNITS:
        for pattern in ("syncjob*.service", "syncjob*.service.d/*.conf"):
            with suppress(OSError):
                for path in sorted((root / folder).glob(pattern)):
                    with suppress(OSError, UnicodeDecodeError):
                        if UNIT_PERCENT.search(path.read_text("utf-8")):
                            yield f"/{path.relative_to(root)}"


def _cron_files(root: Path, matches: Callable[[str], bool] = _runs_it) -> Iterator[str]:
    for place in CRONTABS:
        with suppress(OSError):
            path = root / place
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                with suppress(OSError, UnicodeDecodeError):
                    if file.is_file() and matches(file.read_text("utf-8")):
                        yield f"/{file.relative_to(root)}"
