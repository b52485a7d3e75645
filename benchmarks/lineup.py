"""The list of contenders."""

from dataclasses import dataclass
from typing import Literal

# The contenders that the others are compared with.
OURS = "syncjob"
PLAIN = {"postgresql": "plain", "sqlite": "plain_sqlite"}


@dataclass(frozen=True)
class Contender:
    """A program that copies the followers of an account into a database.

    `module` is a module of benchmarks/contenders; without one the command is `syncjob sync`.
    `table` is the table of followers. `before` is not timed: "migrate" runs `syncjob migrate`,
    "create" creates the table, "nothing" leaves it to the contender. `at_most` limits the
    followers of a measured run; figures for more are extrapolated.
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
    """Return the contenders for this database with these comma-separated names; "" means all.

    Raises ValueError for an unknown name.
    """
    there = {entry.name: entry for entry in CONTENDERS if entry.database == database}
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(there)
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise ValueError(f"no contender {', '.join(unknown)}; on {database}: {', '.join(there)}")
    return [there[name] for name in wanted]
