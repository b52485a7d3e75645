"""Why a follow period ended, counts of refusals, and when the list was contradicted.

A CHECK keeps `subscribe` and the open period consistent.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHECK = "ck_followers_gone_has_an_end"
GONE_HAS_AN_END = "subscribe OR unfollowed_before IS NOT NULL"
PERIODS = """
    CREATE{0} VIEW follow_periods AS
    SELECT account_id, openid, followed_after,
           coalesce(followed_before, first_seen_at) AS followed_before,
           unfollowed_after, unfollowed_before{1}
    FROM followers
    UNION ALL
    SELECT account_id, openid, followed_after, followed_before, unfollowed_after,
           unfollowed_before{1}
    FROM past_follow_periods
"""


def instant(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    # An answer that was stored late could clear the end of a period and leave `subscribe` false.
    known = "coalesce(unsubscribed_at, enriched_at, changed_at, first_seen_at)"
    later = "greatest" if is_postgresql else "max"
    op.execute(
        f"UPDATE followers SET unsubscribed_at = {known}, "  # noqa: S608 - our own names
        f"unfollowed_before = {later}({known}, coalesce(followed_before, {known})) "
        "WHERE NOT subscribe AND unfollowed_before IS NULL"
    )
    if is_postgresql:
        # Validated at once: migrate holds the table until it commits in any case, and one scan
        # takes about a second for a million rows.
        op.execute(f"ALTER TABLE followers ADD COLUMN unsubscribe_reason text, "
                   f"ADD CONSTRAINT {CHECK} CHECK ({GONE_HAS_AN_END})")  # fmt: skip
    else:
        # A CHECK that comes with a column spares SQLite the copying of the whole table; it may
        # speak of the other columns.
        op.execute(f"ALTER TABLE followers ADD COLUMN unsubscribe_reason TEXT "
                   f"CONSTRAINT {CHECK} CHECK ({GONE_HAS_AN_END})")  # fmt: skip
    op.add_column("followers", instant("list_contradicted_at"))
    op.add_column("past_follow_periods", sa.Column("unsubscribe_reason", sa.Text()))
    # Until now only answers have ended periods.
    for table in ("followers", "past_follow_periods"):
        op.execute(
            f"UPDATE {table} SET unsubscribe_reason = 'answered' "  # noqa: S608 - our own names
            "WHERE unfollowed_before IS NOT NULL"
        )
    for name in ("attempts", "refusals"):
        column = sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))
        op.add_column("unfollow_candidates", column)
    approved = sa.Column("approved", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("unfollow_candidates", approved)
    op.add_column("unfollow_candidates", instant("missed_since"))
    if not is_postgresql:
        op.execute("DROP VIEW follow_periods")
    # PostgreSQL keeps views of others that read this one.
    op.execute(PERIODS.format(" OR REPLACE" if is_postgresql else "", ", unsubscribe_reason"))


def downgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    look = (
        "SELECT 'CREATE VIEW daily_follower_changes AS ' || "
        "pg_get_viewdef('daily_follower_changes'::regclass)"
        if is_postgresql
        else "SELECT sql FROM sqlite_master WHERE name = 'daily_follower_changes'"
    )
    days = op.get_bind().scalar(sa.text(look))
    op.execute("DROP VIEW daily_follower_changes")
    op.execute("DROP VIEW follow_periods")
    for name in ("missed_since", "approved", "refusals", "attempts"):
        op.drop_column("unfollow_candidates", name)
    op.drop_column("past_follow_periods", "unsubscribe_reason")
    op.drop_column("followers", "list_contradicted_at")
    if is_postgresql:
        op.execute(f"ALTER TABLE followers DROP CONSTRAINT {CHECK}")
    op.drop_column("followers", "unsubscribe_reason")
    op.execute(PERIODS.format("", ""))
    op.execute(sa.text(days.replace(":", r"\:")))
