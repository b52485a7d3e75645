"""Which database it is. Nothing outside this folder asks for the name of one.

To add a database: a module with a `DIALECT`, and its line in MODULES.
"""

from functools import cache
from importlib import import_module

from sqlalchemy import Connection, Engine
from sqlalchemy import Dialect as SQLAlchemyDialect

from syncjob.database.dialects.base import Dialect

# By SQLAlchemy's name, which is the scheme of the URL as well. Each is imported when first used:
# its drivers cost memory that users of another database do without.
MODULES = {
    "postgresql": "syncjob.database.dialects.postgresql",
    "sqlite": "syncjob.database.dialects.sqlite",
}


def dialect_of(bind: Engine | Connection) -> Dialect:
    """Return the dialect of an engine's or a connection's database."""
    return dialect_for(bind.dialect)


def dialect_for(dialect: SQLAlchemyDialect) -> Dialect:
    """Return the dialect that goes with SQLAlchemy's."""
    return _load(dialect.name)


def dialect_of_url(database_url: str) -> Dialect:
    """Return the dialect of the database that a URL names.

    The settings accept only schemes of MODULES and other spellings of PostgreSQL's.
    """
    scheme = database_url.partition(":")[0]
    return _load(scheme if scheme in MODULES else "postgresql")


@cache
def _load(name: str) -> Dialect:
    dialect: Dialect = import_module(MODULES[name]).DIALECT
    return dialect
