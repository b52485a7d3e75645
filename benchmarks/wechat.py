"""The simulated WeChat, as a process of its own: `syncjob simulate`, as installed."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.processes import BIN, Failed, environment, stat


@dataclass(frozen=True)
class Account:
    """The account that is served: `profiles` as `syncjob simulate` knows them, latency in ms."""

    followers: int
    latency: float
    profiles: str


@dataclass
class WeChat:
    """A served account; `calls`, by endpoint, are known once it has stopped."""

    url: str
    appid: str
    secret: str
    pid: int
    calls: dict[str, int] = field(default_factory=dict)

    def cpu(self) -> float:
        """Return the CPU seconds that it has used so far."""
        known = stat(self.pid)
        return known.cpu_seconds if known else 0.0


@contextmanager
def serving(account: Account) -> Iterator[WeChat]:
    """Serve the account until the block ends. The same number of followers are the same people."""
    options = {
        "--followers": str(account.followers),
        "--latency": str(account.latency),
        "--profiles": account.profiles,
    }
    words = [word for option in options.items() for word in option]
    process = subprocess.Popen(
        [str(BIN / "syncjob"), "simulate", *words],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        settings = _read_settings(process)
        served = WeChat(
            settings["SYNCJOB_API_URL"],
            settings["SYNCJOB_APPID"],
            settings["SYNCJOB_APPSECRET"],
            process.pid,
        )
        yield served
    finally:
        process.terminate()
        _, said = process.communicate()
    # "simulate: stable_token 1, user/get 21, user/info/batchget 2000"
    served.calls = {name: int(count) for name, count in re.findall(r"([\w/]+) (\d+)", said)}


def _read_settings(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return what the simulator prints for a shell, as soon as it serves."""
    settings: dict[str, str] = {}
    for line in process.stdout or ():
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            settings[name] = shlex.split(value)[0]
        if name == "SYNCJOB_TOKEN_SOURCE":  # the last one
            return settings
    raise Failed("syncjob simulate does not serve")
