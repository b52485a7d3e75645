"""wechatpy and SQLAlchemy as in their documentation: no concurrency.

`iter_followers` yields the OpenIDs, `get_batch` fetches the profiles of a hundred, and SQLAlchemy
Core upserts them with one executemany in one transaction.
"""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    MetaData,
    SmallInteger,
    Table,
    Text,
    create_engine,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from wechatpy import WeChatClient

from benchmarks.contenders import fetch_token, read_task

followers = Table(
    "followers",
    MetaData(),
    Column("account_id", BigInteger, primary_key=True),
    Column("openid", Text, primary_key=True),
    Column("subscribe", Boolean),
    Column("nickname", Text),
    Column("sex", SmallInteger),
    Column("language", Text),
    Column("city", Text),
    Column("province", Text),
    Column("country", Text),
    Column("headimgurl", Text),
    Column("subscribe_time", DateTime(timezone=True)),
    Column("unionid", Text),
    Column("remark", Text),
    Column("groupid", BigInteger),
    Column("tagid_list", JSONB),
    Column("subscribe_scene", Text),
    Column("qr_scene", BigInteger),
    Column("qr_scene_str", Text),
)


def main() -> None:
    """Copy all followers into the table."""
    task = read_task()
    # The base URL is a class attribute; the token call has another URL, so fetch_token makes it.
    WeChatClient.API_BASE_URL = f"{task.wechat}/cgi-bin/"
    client = WeChatClient(task.appid, task.secret, access_token=fetch_token(task))
    engine = create_engine(task.database.replace("postgresql:", "postgresql+psycopg:"))
    statement = insert(followers)
    statement = statement.on_conflict_do_update(
        index_elements=["account_id", "openid"],
        set_={c.name: c for c in statement.excluded if not c.primary_key},
    )
    openids = client.user.iter_followers()
    while batch := list(islice(openids, 100)):
        rows = [as_row(user) for user in client.user.get_batch(batch)]
        with engine.begin() as connection:
            connection.execute(statement, rows)


def as_row(user: dict[str, Any]) -> dict[str, Any]:
    """Return WeChat's JSON object of a user as a row of the table."""
    row: dict[str, Any] = {name: user.get(name) for name in followers.columns.keys()}  # noqa: SIM118
    row["account_id"] = 1
    row["subscribe"] = user["subscribe"] == 1
    row["subscribe_time"] = datetime.fromtimestamp(user["subscribe_time"], UTC)
    return row


if __name__ == "__main__":
    main()
