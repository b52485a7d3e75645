"""Peak memory of the whole process against a hostile server."""

import os
import subprocess
import sys

from tests.loopback import answering
from tests.wechat.test_hostile_server import ENDLESS, HEAD, serving

# The job as it is, but for its waits, and what it took at most.
JOB = """
import re
import syncjob.bootstrap
from syncjob.cli.main import run

syncjob.bootstrap.sleep = lambda seconds: None
code = run(["sync"])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(code, peak[1])
"""
MAX_EXTRA = 25  # MiB more than against a server that refuses at once


def run_against(url: str, database_url: str) -> tuple[int, float]:
    """Run the job in a process of its own; return its exit code and its peak memory (MiB)."""
    settings = {
        "SYNCJOB_API_URL": url,
        "SYNCJOB_APPID": "wx5d1f0a2b3c4e6978",
        "SYNCJOB_APPSECRET": "secret",
        "SYNCJOB_DATABASE_URL": database_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        env={**os.environ, **settings, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    code, peak = done.stdout.split()
    return int(code), int(peak) / 1024


def test_no_answer_fills_the_memory_of_the_process(sqlite_url: str) -> None:
    """Endless bodies, headers and chunks, a decompression bomb, and JSON nested without end."""
    with answering([b'{"errcode": 40013, "errmsg": "invalid appid"}']) as server:
        code, usual = run_against(server.url, sqlite_url)
    assert code == 3

    deep = HEAD + b"Connection: close\r\n\r\n" + b"[" * 4_000_000
    peaks = {}
    for name, pieces in {**ENDLESS, "deep": (deep,)}.items():
        with serving(*pieces, endless=name != "deep") as url:
            code, peaks[name] = run_against(url, sqlite_url)
        assert code == 75, name
    assert max(peaks.values()) < usual + MAX_EXTRA, peaks
