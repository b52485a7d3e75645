"""Helpers that call a served simulator, with a clock that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from syncjob.simulator import Account, Simulator

NOON = 1_750_000_000.0  # 2025-06-15 23:06:40 in Beijing


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        """Return the unix time."""
        return self.now


class Caller:
    """Calls a served simulator over one keep-alive connection."""

    def __init__(self, simulator: Simulator, clock: Clock, url: str) -> None:
        self.simulator, self.clock, self.url = simulator, clock, url
        self.account = simulator.account
        self.session = requests.Session()
        self.token = ""

    def get(self, endpoint: str, **params: str) -> requests.Response:
        """Call a GET endpoint with the token."""
        params.setdefault("access_token", self.token)
        return self.session.get(f"{self.url}/cgi-bin/{endpoint}", params=params, timeout=5)

    def new_token(self, endpoint: str = "stable_token", **fields: Any) -> dict[str, Any]:
        """Call a token endpoint; `fields` replace the correct values."""
        asked = {
            "grant_type": "client_credential",
            "appid": self.simulator.appid,
            "secret": self.simulator.secret,
        } | fields
        if endpoint == "token":
            answer = self.session.get(f"{self.url}/cgi-bin/token", params=asked, timeout=5)
        else:
            answer = self.session.post(f"{self.url}/cgi-bin/stable_token", json=asked, timeout=5)
        token: dict[str, Any] = answer.json()
        return token

    def page(self, cursor: str | None = None) -> dict[str, Any]:
        """Return the page after `cursor`."""
        params = {} if cursor is None else {"next_openid": cursor}
        page: dict[str, Any] = self.get("user/get", **params).json()
        return page

    def batch(self, openids: list[str]) -> requests.Response:
        """Call batchget for the users."""
        asked = {"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]}
        url = f"{self.url}/cgi-bin/user/info/batchget?access_token={self.token}"
        return self.session.post(url, json=asked, timeout=5)

    def users(self, openids: list[str]) -> list[dict[str, Any]]:
        """Return the entries of a successful batch."""
        entries: list[dict[str, Any]] = self.batch(openids).json()["user_info_list"]
        return entries

    def sweep(self) -> list[str]:
        """Return all OpenIDs, following next_openid until a page is empty."""
        seen: list[str] = []
        page = self.page()
        while page["count"]:
            seen += page["data"]["openid"]
            page = self.page(page["next_openid"])
        return seen


@contextmanager
def calling(account: Account, **switches: Any) -> Iterator[Caller]:
    """Serve the account and yield a caller that has a token."""
    clock = Clock()
    simulator = Simulator(account, clock=clock, **switches)
    with simulator.serving() as url:
        caller = Caller(simulator, clock, url)
        caller.token = caller.new_token()["access_token"]
        with caller.session:
            yield caller


def small(**switches: Any) -> Account:
    """Return an account of ten followers."""
    return Account(followers=10, seed=3, **switches)
