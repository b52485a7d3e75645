"""Calls to WeChat with requests, for the plain references: no retries, checks or resuming."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from benchmarks.contenders import Task, fetch_token

BATCH = 100
COLUMNS = (
    "account_id",
    "openid",
    "subscribe",
    "nickname",
    "sex",
    "language",
    "city",
    "province",
    "country",
    "headimgurl",
    "subscribe_time",
    "unionid",
    "remark",
    "groupid",
    "tagid_list",
    "subscribe_scene",
    "qr_scene",
    "qr_scene_str",
)

Row = tuple[Any, ...]


class WeChat:
    """A client with one session for all threads."""

    def __init__(self, task: Task) -> None:
        self._base = f"{task.wechat}/cgi-bin"
        self._token = {"access_token": fetch_token(task)}
        self._session = requests.Session()
        self._session.mount(task.wechat, HTTPAdapter(pool_maxsize=task.concurrency))

    def batches(self) -> Iterator[list[str]]:
        """Yield all OpenIDs, a hundred at a time."""
        params = self._token
        while True:
            page = json.loads(self._session.get(f"{self._base}/user/get", params=params).content)
            openids = page.get("data", {}).get("openid", [])
            for start in range(0, len(openids), BATCH):
                yield openids[start : start + BATCH]
            if not page["next_openid"]:
                return
            params = {**self._token, "next_openid": page["next_openid"]}

    def rows(self, openids: list[str]) -> list[Row]:
        """Return a row of the table for each OpenID."""
        response = self._session.post(
            f"{self._base}/user/info/batchget",
            params=self._token,
            json={"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]},
        )
        return [as_row(user) for user in json.loads(response.content)["user_info_list"]]


def as_row(user: dict[str, Any]) -> Row:
    """Return WeChat's JSON object of a user as a row, in the order of COLUMNS."""
    return (
        1,
        user["openid"],
        user["subscribe"] == 1,
        user.get("nickname"),
        user.get("sex"),
        user.get("language"),
        user.get("city"),
        user.get("province"),
        user.get("country"),
        user.get("headimgurl"),
        datetime.fromtimestamp(user["subscribe_time"], UTC),
        user.get("unionid"),
        user.get("remark"),
        user.get("groupid"),
        json.dumps(user.get("tagid_list")),
        user.get("subscribe_scene"),
        user.get("qr_scene"),
        user.get("qr_scene_str"),
    )
