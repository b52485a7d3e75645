"""The tables, for SQLAlchemy. Only migrations/ changes the database.

Their names are a contract with everybody who selects from them. WeChat's fields keep WeChat's
spelling, ours are plain words; instants end in `_at` or `_time` and are UTC.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    and_,
    false,
    literal_column,
    or_,
    text,
    true,
)

from syncjob.database.column_types import (
    ID,
    JSON_VALUE,
    OPENID,
    count,
    counted_key,
    instant,
    of_account,
)
from syncjob.database.comments import describe

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


accounts = Table(
    "accounts",
    metadata,
    counted_key(),
    Column("appid", Text, nullable=False, unique=True),
    instant("created_at", nullable=False),
    # Set while the last sealed sweep has more candidates than can be believed.
    instant("parked_at"),
    # Rows that were enriched before a backfill began are due again.
    instant("backfill_started_at"),
    instant("backfill_finished_at"),
    # The key of the short hashes that logs show in place of OpenIDs: nobody else can make them.
    Column("hash_key", Text),
    # Set while profiles lack the unionid that WeChat has sent since the account was bound to an
    # Open Platform; a backfill fetches them again.
    instant("unionids_missing_at"),
)

followers = Table(
    "followers",
    metadata,
    # No foreign key: checking it costs PostgreSQL a third of a new row.
    Column("account_id", ID, primary_key=True, autoincrement=False),
    Column("openid", OPENID, primary_key=True),
    # True until WeChat answers otherwise.
    Column("subscribe", Boolean(create_constraint=False), nullable=False, server_default=true()),
    Column("nickname", Text),
    Column("sex", SmallInteger),
    Column("language", Text),
    Column("city", Text),
    Column("province", Text),
    Column("country", Text),
    Column("headimgurl", Text),
    instant("subscribe_time"),
    Column("unionid", Text),
    Column("remark", Text),
    Column("groupid", BigInteger),
    Column("tagid_list", JSON_VALUE),
    Column("subscribe_scene", Text),
    Column("qr_scene", BigInteger),  # up to 32 bits, unsigned
    Column("qr_scene_str", Text),
    Column("extra", JSON_VALUE),  # fields of WeChat's that this version has no column for
    instant("first_seen_at", nullable=False),
    instant("enriched_at"),
    instant("unsubscribed_at"),
    instant("changed_at"),
    # The latest follow period, as bounds: it began not before `followed_after` and not after
    # `followed_before`, and ended likewise. Earlier periods are in past_follow_periods; the view
    # follow_periods has all. Until a return is confirmed, this is the period before it.
    instant("followed_after"),
    instant("followed_before"),
    instant("unfollowed_after"),
    instant("unfollowed_before"),
    # The sweep that listed them first, and its page, so that a first sweep need not write each
    # OpenID twice. If the page is behind the sweep's cursor, or NULL, it is not stored yet.
    Column("first_sweep_id", BigInteger),
    Column("first_page", Integer),
    # Why the latest period ended: answered (subscribe: 0), or refused (see database/candidates.py).
    Column("unsubscribe_reason", Text),
    # When WeChat said that they had left while its list still had them: for a day the list is not
    # believed.
    instant("list_contradicted_at"),
    CheckConstraint("subscribe OR unfollowed_before IS NOT NULL", name="gone_has_an_end"),
)
# For lookups by unionid, and to find OpenIDs of an account that share one. A hash index is cheaper
# to write than a tree, whatever the collation of the database is.
Index(
    None,
    followers.c.unionid,
    postgresql_using="hash",
    postgresql_where=followers.c.unionid.is_not(None),
    sqlite_where=followers.c.unionid.is_not(None),
)

# Rows that need a profile, so that a run between two sweeps need not read all. It costs a first
# sync nothing: the rows that it adds have their profile.
IS_NEVER_ENRICHED = and_(followers.c.subscribe.is_(True), followers.c.enriched_at.is_(None))
Index(
    "unenriched_followers",
    followers.c.account_id,
    followers.c.openid,
    postgresql_where=IS_NEVER_ENRICHED,
    sqlite_where=IS_NEVER_ENRICHED,
)

past_follow_periods = Table(
    "past_follow_periods",
    metadata,
    counted_key(),
    Column("account_id", ID, nullable=False),
    Column("openid", OPENID, nullable=False),
    instant("followed_after"),
    instant("followed_before"),
    instant("unfollowed_after"),
    instant("unfollowed_before"),
    Column("unsubscribe_reason", Text),
    Index(None, "account_id", "openid"),
)

# Followers that the last sealed sweep did not list: to be asked about, not marked for that alone.
unfollow_candidates = Table(
    "unfollow_candidates",
    metadata,
    Column("account_id", ID, primary_key=True, autoincrement=False),
    Column("openid", OPENID, primary_key=True),
    Column("sweep_id", ID, nullable=False),
    # When they were last known to follow.
    instant("following_at"),
    # Asked about without a decisive answer, or rejected by the operator; a later sweep retries.
    Column("undecided", Boolean(create_constraint=False), nullable=False, server_default=false()),
    # Since they were last listed: after how many sealed sweeps WeChat was asked about them without
    # an answer that decides, and after how many of these, the last ones, it refused to speak; when
    # the first of these began.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    # They were few enough, or the operator approved: they are not parked again.
    Column("approved", Boolean(create_constraint=False), nullable=False, server_default=false()),
    instant("missed_since"),
)

sweeps = Table(
    "sweeps",
    metadata,
    counted_key(),
    of_account(),
    # open: its cursor waits for the next page · sealed: its chain of pages ran to the end
    # discarded: given up, see `reason`
    Column("status", Text, nullable=False),
    instant("started_at", nullable=False),
    instant("finished_at"),
    Column("next_openid", OPENID),
    count("pages"),
    count("openids"),
    Column("total_first", BigInteger),
    Column("total_last", BigInteger),
    Column("reason", Text),
    CheckConstraint("status IN ('open', 'sealed', 'discarded')", name="status"),
    CheckConstraint("(status = 'open') = (finished_at IS NULL)", name="open_is_unfinished"),
    Index(None, "account_id", "id"),
    Index(None, "account_id", "status", "id"),
)
Index(
    "one_open_sweep",
    sweeps.c.account_id,
    unique=True,
    sqlite_where=sweeps.c.status == "open",
    postgresql_where=sweeps.c.status == "open",
)

# OpenIDs that the open sweep has listed and an earlier one had added (`first_sweep_id`): narrow, so
# that a sweep that finds nothing new need not write to the wide followers rows. Emptied when the
# sweep ends.
sweep_openids = Table(
    "sweep_openids",
    metadata,
    # No foreign key: checking it would cost more than writing the row.
    Column("sweep_id", ID, primary_key=True, autoincrement=False),
    Column("openid", OPENID, primary_key=True),
)

runs = Table(
    "runs",
    metadata,
    counted_key(),
    of_account(),
    Column("command", Text, nullable=False),
    # running · succeeded · failed: see `message` · interrupted: by a signal
    # abandoned: its process died, or gave no heartbeat for too long
    Column("status", Text, nullable=False),
    instant("started_at", nullable=False),
    instant("heartbeat_at", nullable=False),
    instant("finished_at"),
    count("pages"),
    count("openids"),
    count("new"),
    count("returned"),
    count("enriched"),
    count("skipped"),
    count("unfollowed"),
    count("lagging"),
    count("calls"),
    count("retries"),
    Column("errcode", BigInteger),
    Column("message", Text),
    Column("rid", Text),
    Column("holder", Text),
    Column("exit_code", SmallInteger),  # of the process; unknown if it was abandoned
    CheckConstraint(
        "status IN ('running', 'succeeded', 'failed', 'interrupted', 'abandoned')", name="status"
    ),
    CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="running_is_unfinished"),
    # How many rows of followers there were at its end; null: not counted.
    Column("followers", BigInteger),
    Column("subscribed", BigInteger),
    Index(None, "account_id", "id"),
)
Index(
    "one_running_run",
    runs.c.account_id,
    unique=True,
    sqlite_where=runs.c.status == "running",
    postgresql_where=runs.c.status == "running",
)

# An idle run (Run.idle) has succeeded without a call to WeChat. Literals, not parameters: SQLite
# uses a partial index only for exactly the condition that it was created with.
_SUCCEEDED: ColumnElement[str] = literal_column("'succeeded'")
_NONE: ColumnElement[int] = literal_column("0")
IS_NOT_IDLE = or_(runs.c.status != _SUCCEEDED, runs.c.calls != _NONE)
IS_ANSWERED = and_(runs.c.status == _SUCCEEDED, runs.c.calls != _NONE)
Index(
    "asking_runs",
    runs.c.account_id,
    runs.c.id,
    postgresql_where=IS_NOT_IDLE,
    sqlite_where=IS_NOT_IDLE,
)
Index(
    "answered_runs",
    runs.c.account_id,
    runs.c.finished_at,
    postgresql_where=IS_ANSWERED,
    sqlite_where=IS_ANSWERED,
)

# Sums over the runs that have ended, so that old runs may be deleted.
run_totals = Table(
    "run_totals",
    metadata,
    of_account(primary_key=True, autoincrement=False),
    Column("status", Text, primary_key=True),
    count("runs"),
    count("idle"),  # of these, runs that had nothing to do
    Column("seconds", Double, nullable=False, server_default=text("0")),
    count("pages"),
    count("openids"),
    count("new"),
    count("returned"),
    count("enriched"),
    count("skipped"),
    count("unfollowed"),
    count("lagging"),
    count("retries"),
)

# Their calls; with an `error`, those that failed with it.
call_totals = Table(
    "call_totals",
    metadata,
    of_account(primary_key=True, autoincrement=False),
    Column("cgi_path", Text, primary_key=True),
    Column("error", Text, primary_key=True),
    count("calls"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    of_account(primary_key=True, autoincrement=False),
    Column("access_token", Text, nullable=False),  # WeChat: keep room for 512 characters at least
    instant("fetched_at", nullable=False),
    instant("refresh_at", nullable=False),
    # Who fetches another one, and how long others wait for it; each claim raises `generation`.
    count("generation"),
    instant("fetching_until"),
    Column("fetching_by", Text),
    # A keyed hash of the AppSecret it was fetched with, so that it is not used with another one.
    Column("credentials", Text),
)

# The calls of each run, by quota day (Beijing time). The view daily_api_calls has the sums.
api_calls = Table(
    "api_calls",
    metadata,
    Column("day", Date, primary_key=True),
    Column("cgi_path", Text, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
    Index(None, "run_id"),
)

# The calls that failed. `error` is an errcode, or `unanswered`: WeChat sent no answer, or none that
# can be parsed.
api_errors = Table(
    "api_errors",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("cgi_path", Text, primary_key=True),
    Column("error", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
)

# What the steps of a run have done, beside the columns of `runs`: a new step needs no new column.
run_counts = Table(
    "run_counts",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# The last notice of each channel, so that each change of an account's state is sent once.
notices = Table(
    "notices",
    metadata,
    of_account(primary_key=True, autoincrement=False),
    Column("channel", Text, primary_key=True),  # command or webhook
    Column("state", Text, nullable=False),
    instant("told_at", nullable=False),
)

# WeChat's last figures of an endpoint's quota, for all programs of the account together.
quotas = Table(
    "quotas",
    metadata,
    of_account(primary_key=True, autoincrement=False),
    Column("cgi_path", Text, primary_key=True),
    Column("daily_limit", BigInteger),
    Column("used", BigInteger),
    instant("told_at"),
    instant("exhausted_at"),  # when WeChat last refused a call with 45009
)

# OpenIDs that make a whole batch fail; retried at `next_try_at`.
quarantine = Table(
    "quarantine",
    metadata,
    Column("account_id", ID, primary_key=True, autoincrement=False),
    Column("openid", OPENID, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("errcode", BigInteger),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    instant("first_failed_at", nullable=False),
    instant("next_try_at", nullable=False),
    Column("rid", Text),  # of WeChat's last refusal
    ForeignKeyConstraint(
        ["account_id", "openid"], ["followers.account_id", "followers.openid"], ondelete="CASCADE"
    ),
)

# What each table and column means is written down in comments.py.
describe(metadata)
