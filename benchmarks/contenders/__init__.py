"""The contenders: programs that copy all followers of an account into a database, a file each.

This file has their common settings.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A contender's settings: WeChat, the database, and the maximum of concurrent calls."""

    wechat: str
    appid: str
    secret: str
    database: str
    concurrency: int


def read_task() -> Task:
    """Read the settings from the environment."""
    return Task(
        wechat=os.environ["BENCH_WECHAT"],
        appid=os.environ["BENCH_APPID"],
        secret=os.environ["BENCH_SECRET"],
        database=os.environ["BENCH_DATABASE"],
        concurrency=int(os.environ["BENCH_CONCURRENCY"]),
    )


def token_request(task: Task) -> dict[str, str]:
    """Return the body of the call for an access token."""
    return {"grant_type": "client_credential", "appid": task.appid, "secret": task.secret}


def fetch_token(task: Task) -> str:
    """Fetch an access token."""
    import requests  # not at the top: the floor does not use it

    url = f"{task.wechat}/cgi-bin/stable_token"
    token: str = requests.post(url, json=token_request(task), timeout=60).json()["access_token"]
    return token
