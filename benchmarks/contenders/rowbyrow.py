"""Row by row, as tutorials do it: an ORM, and a commit per row.

It lists a page and inserts each OpenID that is missing. Then it fetches the profiles, a hundred
per call, and saves each user in a transaction. No concurrency.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import requests
from sqlalchemy import BigInteger, Text, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.contenders import fetch_token, read_task


class Base(DeclarativeBase):
    """The base class of the ORM."""


class Follower(Base):
    """A row of the table."""

    __tablename__ = "followers"

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, default=1)
    openid: Mapped[str] = mapped_column(Text, primary_key=True)
    subscribe: Mapped[bool] = mapped_column(default=True)
    nickname: Mapped[str | None]
    sex: Mapped[int | None]
    language: Mapped[str | None]
    city: Mapped[str | None]
    province: Mapped[str | None]
    country: Mapped[str | None]
    headimgurl: Mapped[str | None]
    subscribe_time: Mapped[datetime | None]
    unionid: Mapped[str | None]
    remark: Mapped[str | None]
    groupid: Mapped[int | None]
    tagid_list: Mapped[list[int] | None] = mapped_column(JSONB)
    subscribe_scene: Mapped[str | None]
    qr_scene: Mapped[int | None] = mapped_column(BigInteger)
    qr_scene_str: Mapped[str | None]


class WeChat:
    """A client of WeChat."""

    def __init__(self) -> None:
        task = read_task()
        self._base = f"{task.wechat}/cgi-bin"
        self._token = {"access_token": fetch_token(task)}
        self._session = requests.Session()

    def pages(self) -> Iterator[list[str]]:
        """Yield the OpenIDs of each page."""
        params = self._token
        while True:
            page = self._session.get(f"{self._base}/user/get", params=params).json()
            if "data" in page:
                yield page["data"]["openid"]
            if not page["next_openid"]:
                return
            params = {**self._token, "next_openid": page["next_openid"]}

    def users(self, openids: list[str]) -> list[dict[str, Any]]:
        """Return the profiles of up to a hundred OpenIDs."""
        asked = {"user_list": [{"openid": openid, "lang": "zh_CN"} for openid in openids]}
        url = f"{self._base}/user/info/batchget"
        response = self._session.post(url, params=self._token, json=asked)
        listed: list[dict[str, Any]] = json.loads(response.content)["user_info_list"]
        return listed


def main() -> None:
    """Copy all followers into the table."""
    wechat = WeChat()
    engine = create_engine(read_task().database.replace("postgresql:", "postgresql+psycopg:"))
    with Session(engine) as session:
        for openids in wechat.pages():
            for openid in openids:
                if session.get(Follower, (1, openid)) is None:
                    session.add(Follower(openid=openid))
                    session.commit()
        everybody = list(session.scalars(select(Follower.openid)))
        for start in range(0, len(everybody), 100):
            for user in wechat.users(everybody[start : start + 100]):
                save(session, user)


def save(session: Session, user: dict[str, Any]) -> None:
    """Write WeChat's JSON object of a user into its row."""
    follower = session.get_one(Follower, (1, user["openid"]))
    for name, value in user.items():
        setattr(follower, name, value)
    follower.subscribe = user["subscribe"] == 1
    follower.subscribe_time = datetime.fromtimestamp(user["subscribe_time"], UTC)
    session.commit()


if __name__ == "__main__":
    main()
