"""The plain reference: requests, the standard library's json, a thread pool, one COPY.

The program one writes in an afternoon: it records no run, keeps no cursor, checks nothing, and
starts over after a crash.
"""

import queue

import psycopg

from benchmarks.contenders import read_task
from benchmarks.contenders.calls import COLUMNS, Row, WeChat
from benchmarks.contenders.threads import fan_out, start

_COPY = f"COPY followers ({', '.join(COLUMNS)}) FROM STDIN"


def main() -> None:
    """Copy all followers into the table."""
    task = read_task()
    wechat = WeChat(task)
    finished: queue.Queue[list[Row] | None] = queue.Queue(maxsize=2 * task.concurrency)

    def write() -> None:
        with psycopg.connect(task.database) as connection, connection.cursor().copy(_COPY) as copy:
            while (rows := finished.get()) is not None:
                for row in rows:
                    copy.write_row(row)

    writer = start(write)
    fan_out(lambda openids: finished.put(wechat.rows(openids)), wechat.batches(), task.concurrency)
    finished.put(None)
    writer.join()


if __name__ == "__main__":
    main()
