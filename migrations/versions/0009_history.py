"""Sums over all runs are stored apart, so that old runs may be deleted.

An idle run reads few rows, however large the account; views say since when they are complete.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTS = (
    "pages",
    "openids",
    "new",
    "returned",
    "enriched",
    "skipped",
    "unfollowed",
    "lagging",
    "retries",
)
IDLE = "status = 'succeeded' AND calls = 0"
INDEXES = {
    "unenriched_followers": ("followers", ["account_id", "openid"]),
    "answered_runs": ("runs", ["account_id", "finished_at"]),
    "asking_runs": ("runs", ["account_id", "id"]),
    "ix_runs_account_id_id": ("runs", ["account_id", "id"]),
    "ix_sweeps_account_id_id": ("sweeps", ["account_id", "id"]),
    "ix_sweeps_account_id_status_id": ("sweeps", ["account_id", "status", "id"]),
    "ix_api_calls_run_id": ("api_calls", ["run_id"]),
}


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    true = "1" if is_sqlite else "true"
    partial = {
        "unenriched_followers": f"subscribe IS {true} AND enriched_at IS NULL",
        "answered_runs": "status = 'succeeded' AND calls != 0",
        "asking_runs": "status != 'succeeded' OR calls != 0",
    }
    for name in ("followers", "subscribed"):
        op.add_column("runs", sa.Column(name, sa.BigInteger()))
    create_totals()
    fill_totals(is_sqlite)
    # From now on a row is due only if it was never enriched, or is to be enriched again.
    op.execute(
        "UPDATE followers SET enriched_at = NULL WHERE subscribe AND enriched_at < "
        "(SELECT backfill_started_at FROM accounts WHERE accounts.id = followers.account_id "
        "AND backfill_finished_at IS NOT NULL)"
    )
    op.drop_index(op.f("ix_runs_account_id_started_at"), "runs")
    for name, (table, columns) in INDEXES.items():
        where = sa.text(partial[name]) if name in partial else None
        op.create_index(op.f(name), table, columns, sqlite_where=where, postgresql_where=where)
    create_views(is_sqlite)


def create_totals() -> None:
    def count(name: str) -> sa.Column:
        return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))

    op.create_table(
        "run_totals",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        count("runs"),
        count("idle"),
        sa.Column("seconds", sa.Double(), nullable=False, server_default=sa.text("0")),
        *(count(name) for name in COUNTS),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_run_totals_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "status", name=op.f("pk_run_totals")),
    )
    op.create_table(
        "call_totals",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("cgi_path", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        count("calls"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_call_totals_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "cgi_path", "error", name=op.f("pk_call_totals")),
    )


def fill_totals(is_sqlite: bool) -> None:
    """Fill the sums from the runs that have ended."""
    seconds = (
        "max(0, (julianday(finished_at) - julianday(started_at)) * 86400)"
        if is_sqlite
        else "greatest(0, extract(epoch FROM finished_at - started_at))"
    )
    names = ", ".join(COUNTS)
    sums = ", ".join(f"sum({name})" for name in COUNTS)
    op.execute(
        f"INSERT INTO run_totals (account_id, status, runs, idle, seconds, {names}) "  # noqa: S608
        f"SELECT account_id, status, count(*), count(*) FILTER (WHERE {IDLE}), sum({seconds}), "
        f"{sums} FROM runs WHERE status <> 'running' GROUP BY account_id, status"
    )
    for table, error in (("api_calls", "''"), ("api_errors", "error")):
        op.execute(
            "INSERT INTO call_totals (account_id, cgi_path, error, calls) "  # noqa: S608
            f"SELECT account_id, cgi_path, {error} AS error, sum({table}.calls) FROM {table} "
            f"JOIN runs ON runs.id = {table}.run_id WHERE status <> 'running' "
            "GROUP BY account_id, cgi_path, 3"
        )


def create_views(is_sqlite: bool) -> None:
    if is_sqlite:  # PostgreSQL replaces it, which keeps views of others that read it
        op.execute("DROP VIEW daily_follower_changes")
    op.execute(
        """
        CREATE VIEW account_history AS
        SELECT a.id AS account_id, a.appid, min(s.finished_at) AS complete_since
        FROM accounts a LEFT JOIN sweeps s ON s.account_id = a.id AND s.status = 'sealed'
        GROUP BY a.id, a.appid
        """
    )
    op.execute(daily_follower_changes(is_sqlite, complete=True))


def daily_follower_changes(is_sqlite: bool, *, complete: bool) -> str:
    # Days as WeChat's own analytics count them: in China.
    day = "date({}, '+8 hours')" if is_sqlite else "CAST({} AT TIME ZONE 'Asia/Shanghai' AS date)"
    column, join = "", ""
    if complete:
        since = day.format("h.complete_since")
        column = f", coalesce(d.date > {since}, false) AS complete"
        join = "LEFT JOIN account_history h ON h.account_id = d.account_id"
    create = "CREATE OR REPLACE VIEW" if complete and not is_sqlite else "CREATE VIEW"
    return f"""
        {create} daily_follower_changes AS
        WITH changes AS (
            SELECT account_id, {day.format("followed_before")} AS date,
                   1 AS followed, 0 AS unfollowed
            FROM follow_periods
            UNION ALL
            SELECT account_id, {day.format("unfollowed_before")}, 0, 1
            FROM follow_periods WHERE unfollowed_before IS NOT NULL
        ), days AS (
            SELECT account_id, date, sum(followed) AS followed, sum(unfollowed) AS unfollowed
            FROM changes GROUP BY account_id, date
        )
        SELECT d.account_id, d.date, d.followed, d.unfollowed, d.followed - d.unfollowed AS net,
               CAST(sum(d.followed - d.unfollowed)
                    OVER (PARTITION BY d.account_id ORDER BY d.date) AS bigint) AS total{column}
        FROM days d {join}
        """  # noqa: S608 - our own names


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP VIEW daily_follower_changes")
    op.execute("DROP VIEW account_history")
    op.execute(daily_follower_changes(is_sqlite, complete=False))
    for name, (table, _) in INDEXES.items():
        op.drop_index(op.f(name), table)
    op.create_index(op.f("ix_runs_account_id_started_at"), "runs", ["account_id", "started_at"])
    op.drop_table("call_totals")
    op.drop_table("run_totals")
    for name in ("followers", "subscribed"):
        op.drop_column("runs", name)
