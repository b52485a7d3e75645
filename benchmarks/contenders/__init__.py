"""The contenders: each a program that copies all followers of an account into a database.

What they are told is here and the same for all; how they do it is in a file each.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """What a contender is told: where WeChat and the database are, and how many calls at once."""

    wechat: str
    appid: str
    secret: str
    database: str
    concurrency: int


def given() -> Given:
    """Read what the benchmark put into the environment."""
    return Given(
        wechat=os.environ["BENCH_WECHAT"],
        appid=os.environ["BENCH_APPID"],
        secret=os.environ["BENCH_SECRET"],
        database=os.environ["BENCH_DATABASE"],
        concurrency=int(os.environ["BENCH_CONCURRENCY"]),
    )


def token_request(told: Given) -> dict[str, str]:
    """Return the body of the call that asks for an access token."""
    return {"grant_type": "client_credential", "appid": told.appid, "secret": told.secret}


def fetch_token(told: Given) -> str:
    """Return an access token, by one call of requests."""
    import requests  # the floor does without, and shall not pay for importing it

    url = f"{told.wechat}/cgi-bin/stable_token"
    token: str = requests.post(url, json=token_request(told), timeout=60).json()["access_token"]
    return token
