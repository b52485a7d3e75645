"""The staging table of profiles, on their way from WeChat's answers into the followers table.

Statements read it as `staged_profiles`, and store all its rows at once. How the rows get there is
each database's affair (`Dialect.stage`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Column, ColumnElement, MetaData, Select, Table

from syncjob.database.tables import followers
from syncjob.model.user_info import UserInfo

FIELDS = UserInfo.__struct_fields__
PROFILE_FIELDS = tuple(name for name in FIELDS if name not in ("openid", "subscribe"))
COLUMNS = ("openid", *PROFILE_FIELDS, "first_page")

staged_profiles = Table(
    "staged_profiles", MetaData(), *(Column(name, followers.c[name].type) for name in COLUMNS)
)

# Values are written column by column: those of one are of one type, and need no look at each.
Columns = Mapping[str, Sequence[Any]]


def look_up(statement: Select[Any]) -> ColumnElement[Any]:
    """Return what the statement finds for a staged row: looked up by index, row by row.

    An EXISTS might be planned as a join with the whole followers table.
    """
    return statement.limit(1).correlate(staged_profiles).scalar_subquery()


def columns_of(infos: Sequence[UserInfo], pages: Mapping[str, int]) -> Columns:
    """Return the columns of the answers that hold any value.

    `pages` are the pages that list them and are not stored yet.
    """
    if not infos:
        return {}
    columns: dict[str, Sequence[Any]] = dict(
        zip(FIELDS, zip(*map(astuple, infos), strict=True), strict=True)
    )
    del columns["subscribe"]
    if pages:
        columns["first_page"] = [*map(pages.get, columns["openid"])]
    return {
        name: column
        for name, column in columns.items()
        if column[0] is not None or column.count(None) < len(column)
    }
