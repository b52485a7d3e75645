"""Who takes part, and what each needs before it starts."""

from dataclasses import dataclass
from typing import Literal

# Who the others are compared with.
OURS = "syncjob"
PLAIN = {"postgresql": "plain", "sqlite": "plain_sqlite"}


@dataclass(frozen=True)
class Contender:
    """A way of copying the followers of an account into a database.

    `module` is a program of benchmarks/contenders; without one it is the command `syncjob sync`.
    `table` is where the followers end up. `before`, untimed: "migrate" runs `syncjob migrate`,
    "create" makes the table, "nothing" leaves all to the contender. With `at_most` it is measured
    at so many followers, and what it would take for more is calculated.
    """

    name: str
    database: str
    module: str = ""
    table: str = "followers"
    before: Literal["migrate", "create", "nothing"] = "create"
    at_most: int | None = None


CONTENDERS = (
    Contender(OURS, "postgresql", before="migrate"),
    Contender("plain", "postgresql", "plain"),
    Contender("floor", "postgresql", "floor"),
    Contender("wechatpy", "postgresql", "wechatpy_loop"),
    Contender("dlt_default", "postgresql", "dlt_default", "wechat.followers", "nothing"),
    Contender("dlt_tuned", "postgresql", "dlt_tuned", "wechat.followers", "nothing"),
    Contender("dlt_arrow", "postgresql", "dlt_arrow", "wechat.followers", "nothing"),
    Contender("rowbyrow", "postgresql", "rowbyrow", at_most=5000),
    Contender(OURS, "sqlite", before="migrate"),
    Contender("plain_sqlite", "sqlite", "plain_sqlite"),
)


def pick(database: str, names: str) -> list[Contender]:
    """Return the contenders of this database with these names, comma-separated; "" means all.

    Raises ValueError for a name that is none of theirs.
    """
    there = {entry.name: entry for entry in CONTENDERS if entry.database == database}
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(there)
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise ValueError(f"no contender {', '.join(unknown)}; on {database}: {', '.join(there)}")
    return [there[name] for name in wanted]
