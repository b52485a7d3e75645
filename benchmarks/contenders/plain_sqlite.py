"""The plain reference on SQLite: as plain.py, with one thread that upserts with executemany.

The database uses WAL and synchronous NORMAL, as SQLite recommends for many writes. A transaction
stores the answers that are queued.
"""

import queue
import sqlite3

from benchmarks.contenders import read_task
from benchmarks.contenders.calls import COLUMNS, Row, WeChat
from benchmarks.contenders.threads import fan_out, start

_UPSERT = f"""INSERT INTO followers ({", ".join(COLUMNS)})
    VALUES ({", ".join("?" * len(COLUMNS))})
    ON CONFLICT (account_id, openid)
    DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])}"""
_TIME = COLUMNS.index("subscribe_time")


def main() -> None:
    """Copy all followers into the table."""
    task = read_task()
    wechat = WeChat(task)
    finished: queue.Queue[list[Row] | None] = queue.Queue(maxsize=2 * task.concurrency)

    def fetch(openids: list[str]) -> None:
        finished.put([storable(row) for row in wechat.rows(openids)])

    def write() -> None:
        connection = sqlite3.connect(task.database.removeprefix("sqlite:///"))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        while (rows := finished.get()) is not None:
            connection.executemany(_UPSERT, rows)
            if finished.empty():
                connection.commit()
        connection.commit()
        connection.close()

    writer = start(write)
    fan_out(fetch, wechat.batches(), task.concurrency)
    finished.put(None)
    writer.join()


def storable(row: Row) -> Row:
    """Return the row with subscribe_time as text in UTC, in SQLite's format."""
    text = row[_TIME].strftime("%Y-%m-%d %H:%M:%S")
    return (*row[:_TIME], text, *row[_TIME + 1 :])


if __name__ == "__main__":
    main()
