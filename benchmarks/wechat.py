"""The simulated WeChat as a separate process: the installed `syncjob simulate`."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import BIN, Failed, environment, stat


@dataclass(frozen=True)
class Account:
    """The simulated account: `profiles` as in `syncjob simulate`, `latency` in ms."""

    followers: int
    latency: float
    profiles: str
    tls: bool = False


@dataclass
class WeChat:
    """A running simulator; `calls`, by endpoint, are set when it has stopped.

    `trust`: environment variables with which a contender accepts its certificate.
    """

    url: str
    appid: str
    secret: str
    pid: int
    trust: dict[str, str] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        known = stat(self.pid)
        return known.cpu_seconds if known else 0.0


@contextmanager
def serving(account: Account) -> Iterator[WeChat]:
    """Serve the account until the block ends. The same size gives the same followers."""
    options = {
        "--followers": str(account.followers),
        "--latency": str(account.latency),
        "--profiles": account.profiles,
    }
    words = [word for option in options.items() for word in option]
    command = [str(BIN / "syncjob"), "simulate", *words]
    with TemporaryDirectory() as folder:
        trust = {}
        if account.tls:
            authority, certificate = _certify(Path(folder))
            # requests reads the first, Python's ssl the second.
            trust = {"REQUESTS_CA_BUNDLE": authority, "SSL_CERT_FILE": authority}
            program = [sys.executable, "-m", "benchmarks.tls_wechat"]
            command = [*program, *words, "--certificate", certificate]
        process = subprocess.Popen(
            command,
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
                trust,
            )
            yield served
        finally:
            process.terminate()
            _, said = process.communicate()
    # "simulate: stable_token 1, user/get 21, user/info/batchget 2000"
    served.calls = {name: int(count) for name, count in re.findall(r"([\w/]+) (\d+)", said)}


def _certify(folder: Path) -> tuple[str, str]:
    """Create a CA and a certificate for 127.0.0.1; return the file of each."""
    import trustme

    authority, certificate = trustme.CA(), folder / "certificate.pem"
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem"), str(certificate)


def _read_settings(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the settings that the simulator prints for a shell when it is ready."""
    settings: dict[str, str] = {}
    for line in process.stdout or ():
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            settings[name] = shlex.split(value)[0]
        if name == "SYNCJOB_TOKEN_SOURCE":  # the last one
            return settings
    raise Failed("syncjob simulate does not serve")
