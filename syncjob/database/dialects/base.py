"""What a database must offer: all that its statements, errors and connections have of their own."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from sqlalchemy import URL, ColumnElement, Connection, CursorResult, Engine, Select, Table
from sqlalchemy import select as select_

from syncjob.errors import DatabaseError
from syncjob.model.health import Health
from syncjob.model.user_info import UserInfo

# Cures that errors of every database may need.
ANOTHERS = "tables of another program are in the way; give syncjob a schema of its own"
INCOMPLETE = (
    "tables or columns of syncjob are missing: were they changed by hand, or does search_path name "
    "another schema?"
)


class Staged(Protocol):
    """Answers about distinct OpenIDs, which statements read as the table `staged_profiles`."""

    def execute(
        self,
        statement: Any,
        values: Mapping[str, Any] | None = None,
        *,
        columns: tuple[str, ...] = ...,
        **options: Any,
    ) -> CursorResult[Any]:
        """Execute a statement that reads these columns of `staged_profiles`."""


class Dialect(ABC):
    """One kind of database. Its methods are stateless; there is one object of each class."""

    name: ClassVar[str]  # as SQLAlchemy calls it
    # How many threads write faster than one.
    writers: ClassVar[int] = 1
    # Whether it has schemas, a clock of its own, and columns that keep a time zone.
    has_schemas: ClassVar[bool] = False
    has_clock: ClassVar[bool] = False
    keeps_time_zone: ClassVar[bool] = False
    # Whether connections made before its tables are there must be made again.
    reconnects_when_created: ClassVar[bool] = False

    # --- connections ---------------------------------------------------------------------------

    @abstractmethod
    def open_engine(self, database_url: str, *, create: bool, name: str, timeouts: bool) -> Engine:
        """Return an engine; see `engine.open_engine`."""

    @abstractmethod
    def place_of(self, connection: Connection) -> str:
        """Say in words which database a connection is to, without user and password."""

    @abstractmethod
    def error(self, url: URL, error: Any, *, lost: bool, committing: bool) -> DatabaseError:
        """Return the error of ours that one of the driver's means; never a row or a parameter.

        `lost`: there is no connection any more. `committing`: the COMMIT was sent. Undone, which is
        repeated, only if certainly nothing of the transaction was stored.
        """

    @abstractmethod
    def get_health(self, engine: Engine) -> Health:
        """Return what the database says of its own state."""

    # --- schema --------------------------------------------------------------------------------

    @abstractmethod
    def find_tables(
        self, connection: Connection, names: Sequence[str]
    ) -> list[tuple[str, str, bool]]:
        """Return the name and schema of those of these tables and views that there are.

        And whether it is the schema where a new table would be made.
        """

    def create_in(self, connection: Connection, schema: str) -> None:
        """Have the rest of the transaction make new tables in that schema."""
        raise NotImplementedError

    @abstractmethod
    def require_encoding(self, connection: Connection) -> None:
        """Raise DatabaseError if the database cannot hold all texts."""

    @abstractmethod
    def lock_migrations(self, connection: Connection) -> None:
        """Wait for other migrations, and keep them waiting until the transaction ends."""

    # --- statements ----------------------------------------------------------------------------

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """Return an INSERT that the next three methods take."""

    def or_ignore(self, insert: Any) -> Any:
        """Have an INSERT leave rows alone that are there already."""
        return insert.on_conflict_do_nothing()

    def or_update(
        self,
        insert: Any,
        key: Iterable[Any],
        values: Mapping[str, Any],
        where: ColumnElement[bool] | None = None,
    ) -> Any:
        """Have an INSERT update rows whose `key` is there already, if they meet `where`."""
        return insert.on_conflict_do_update(index_elements=list(key), set_=values, where=where)

    def proposed(self, insert: Any) -> Any:
        """Return the columns of the row that an INSERT would add, for `or_update`."""
        return insert.excluded

    def insert_new(
        self,
        connection: Connection,
        table: Table,
        values: Mapping[str, Any],
        openids: Sequence[str],
        *,
        assume_new: bool = False,
    ) -> int:
        """Insert a row of `values` for each OpenID that the table does not have; return how many.

        With `assume_new`, which costs less, an OpenID that it has is an IntegrityError.
        """
        openid = self.openid_rows(openids).subquery().c[0]
        statement = self.insert(table).from_select(
            [*values, "openid"],
            # SQLite takes the ON of ON CONFLICT for a join's, unless a WHERE stands before it.
            select_(*values.values(), openid).where(openid.is_not(None)),
        )
        return connection.execute(
            statement if assume_new else self.or_ignore(statement),
            # SQLAlchemy looks at the count of an INSERT only if it is asked to.
            execution_options={"preserve_rowcount": True},
        ).rowcount

    @abstractmethod
    def openid_rows(self, openids: Sequence[str]) -> Select[tuple[str]]:
        """Return a SELECT of the OpenIDs: one parameter, however many there are."""

    def is_one_of(self, column: ColumnElement[str], openids: Sequence[str]) -> ColumnElement[bool]:
        """Return the condition that a column of a large table is one of many OpenIDs.

        To be looked up by index, never by reading the whole table.
        """
        return column.in_(self.openid_rows(openids))

    @abstractmethod
    def later(self, one: Any, other: Any) -> ColumnElement[Any]:
        """Return the later of two instants; the one that is known, if one is NULL."""

    def server_now(self, offset: timedelta) -> ColumnElement[datetime]:
        """Return now by the server's clock, moved by `offset`, if it has one."""
        raise NotImplementedError

    @abstractmethod
    def stage(
        self, connection: Connection, infos: Sequence[UserInfo], pages: Mapping[str, int]
    ) -> Staged:
        """Stage these answers; `pages` are the pages that list them and are not stored yet."""
