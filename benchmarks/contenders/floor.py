"""The floor: urllib3, msgspec structs, a thread pool, two COPYs, nothing else.

The minimum of work for a Python program: answers are parsed into structs, the fetching threads
build the text for COPY, and the two writers only pass it on.
"""

import queue
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
import psycopg
import urllib3

from benchmarks.contenders import Task, read_task, token_request
from benchmarks.contenders.threads import fan_out, start

_BATCH = 100
_WRITERS = 2
_COPY = """COPY followers (account_id, openid, subscribe, nickname, sex, language, city, province,
    country, headimgurl, subscribe_time, unionid, remark, groupid, tagid_list, subscribe_scene,
    qr_scene, qr_scene_str) FROM STDIN"""
# Characters with a special meaning for COPY.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


class Token(msgspec.Struct):
    """The answer to stable_token."""

    access_token: str


class OpenIDs(msgspec.Struct):
    """The list in the answer to user/get."""

    openid: list[str]


class Page(msgspec.Struct):
    """The answer to user/get."""

    next_openid: str
    data: OpenIDs = msgspec.field(default_factory=lambda: OpenIDs([]))


class User(msgspec.Struct):
    """An entry of the answer to batchget."""

    openid: str
    subscribe: int
    subscribe_time: int
    nickname: str = ""
    sex: int = 0
    language: str = ""
    city: str = ""
    province: str = ""
    country: str = ""
    headimgurl: str = ""
    unionid: str = r"\N"
    remark: str = ""
    groupid: int = 0
    tagid_list: list[int] = msgspec.field(default_factory=list)
    subscribe_scene: str = ""
    qr_scene: int = 0
    qr_scene_str: str = ""

    def line(self) -> str:
        """Return the row in COPY's text format."""
        return (
            f"1\t{self.openid}\t{self.subscribe}\t{escaped(self.nickname)}\t{self.sex}"
            f"\t{self.language}\t{escaped(self.city)}\t{escaped(self.province)}"
            f"\t{escaped(self.country)}\t{escaped(self.headimgurl)}"
            f"\t{datetime.fromtimestamp(self.subscribe_time, UTC)}\t{self.unionid}"
            f"\t{escaped(self.remark)}\t{self.groupid}\t{self.tagid_list}"
            f"\t{self.subscribe_scene}\t{self.qr_scene}\t{escaped(self.qr_scene_str)}\n"
        )


class Batch(msgspec.Struct):
    """The answer to batchget."""

    user_info_list: list[User]


def escaped(text: str) -> str:
    """Return the text escaped for COPY."""
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


class WeChat:
    """A client with one connection pool for all threads."""

    def __init__(self, task: Task) -> None:
        self._pool = urllib3.connectionpool.connection_from_url(
            task.wechat, maxsize=task.concurrency
        )
        body = msgspec.json.encode(token_request(task))
        answer = self._pool.request("POST", "/cgi-bin/stable_token", body=body).data
        self._token = msgspec.json.decode(answer, type=Token).access_token
        self._batchget = f"/cgi-bin/user/info/batchget?access_token={quote(self._token)}"
        self._page = msgspec.json.Decoder(Page)
        self._batch = msgspec.json.Decoder(Batch)

    def batches(self) -> Iterator[list[str]]:
        """Yield all OpenIDs, a hundred at a time."""
        url = f"/cgi-bin/user/get?access_token={quote(self._token)}&next_openid="
        cursor = ""
        while True:
            target = url + cursor if cursor else url.removesuffix("&next_openid=")
            page = self._page.decode(self._pool.request("GET", target).data)
            openids = page.data.openid
            for start_at in range(0, len(openids), _BATCH):
                yield openids[start_at : start_at + _BATCH]
            cursor = page.next_openid
            if not cursor:
                return

    def lines(self, openids: list[str]) -> bytes:
        """Return the rows of these OpenIDs in COPY's text format."""
        wanted = '","lang":"zh_CN"},{"openid":"'.join(openids)
        body = f'{{"user_list":[{{"openid":"{wanted}","lang":"zh_CN"}}]}}'.encode()
        answer = self._pool.request("POST", self._batchget, body=body).data
        return "".join([user.line() for user in self._batch.decode(answer).user_info_list]).encode()


def main() -> None:
    """Copy all followers into the table."""
    task = read_task()
    wechat = WeChat(task)
    finished: queue.Queue[bytes | None] = queue.Queue(maxsize=2 * task.concurrency)

    def write() -> None:
        with psycopg.connect(task.database) as connection, connection.cursor().copy(_COPY) as copy:
            while (lines := finished.get()) is not None:
                copy.write(lines)

    writers = [start(write) for _ in range(_WRITERS)]
    fan_out(lambda openids: finished.put(wechat.lines(openids)), wechat.batches(), task.concurrency)
    for _ in writers:
        finished.put(None)
    for writer in writers:
        writer.join()


if __name__ == "__main__":
    main()
