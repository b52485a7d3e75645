"""Calls to a served simulator, as a client of WeChat makes them; the clock is the test's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from syncjob.simulator import Account, Simulator

NOON = 1_750_000_000.0  # 2025-06-15 23:06:40 in Beijing


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        """Return the unix time."""
        return self.now


class Caller:
    """Asks a served simulator over one keep-alive connection."""

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
        """Ask a token endpoint; `fields` replace what is right."""
        asked = {
            "grant_type": "client_credential",
            "appid": self.simulator.appid,
            "secret": self.simulator.secret,
        } | fields
        if endpoint == "token":
            answer = self.session.get(f"{self.url}/cgi-bin/token", params=asked, timeout=5)
        else:
            answer = self.session.post(f"{self.url}/cgi-bin/stable_token", json=asked, timeout=5)
        told: dict[str, Any] = answer.json()
        return told

    def page(self, cursor: str | None = None) -> dict[str, Any]:
        """Ask for the page after `cursor`."""
        params = {} if cursor is None else {"next_openid": cursor}
        told: dict[str, Any] = self.get("user/get", **params).json()
        return told

    def batch(self, openids: list[str]) -> requests.Response:
        """Ask batchget about the users."""
        asked = {"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]}
        url = f"{self.url}/cgi-bin/user/info/batchget?access_token={self.token}"
        return self.session.post(url, json=asked, timeout=5)

    def users(self, openids: list[str]) -> list[dict[str, Any]]:
        """Return the entries of a batch that goes well."""
        told: list[dict[str, Any]] = self.batch(openids).json()["user_info_list"]
        return told

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
