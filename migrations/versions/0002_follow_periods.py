"""Follow periods, unfollow candidates, and the views that people use."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPENID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
PERIOD = ("followed_after", "followed_before", "unfollowed_after", "unfollowed_before")
VIEWS = ("current_followers", "follow_periods", "daily_follower_changes")


def instant(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    op.add_column("accounts", instant("parked_at"))
    for name in ("unfollowed", "lagging"):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))
        op.add_column("runs", column)
    op.add_column("followers", sa.Column("extra", sa.JSON().with_variant(JSONB(), "postgresql")))
    for name in ("changed_at", *PERIOD):
        op.add_column("followers", instant(name))
    op.create_index(op.f("ix_followers_account_id_unionid"), "followers", ["account_id", "unionid"])
    # For existing followers: WeChat's `subscribe_time`, or when they were first listed.
    op.execute(
        "UPDATE followers SET followed_after = subscribe_time, "
        "followed_before = coalesce(subscribe_time, first_seen_at), "
        "unfollowed_after = CASE WHEN unsubscribed_at IS NULL THEN NULL "
        "ELSE coalesce(subscribe_time, first_seen_at) END, "
        "unfollowed_before = unsubscribed_at, changed_at = coalesce(enriched_at, first_seen_at)"
    )
    op.create_table(
        "past_follow_periods",
        sa.Column("id", ID, sa.Identity(), nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("openid", OPENID, nullable=False),
        *(instant(name) for name in PERIOD),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_follow_periods")),
    )
    op.create_index(
        op.f("ix_past_follow_periods_account_id_openid"),
        "past_follow_periods",
        ["account_id", "openid"],
    )
    op.create_table(
        "unfollow_candidates",
        sa.Column("account_id", ID, nullable=False, autoincrement=False),
        sa.Column("openid", OPENID, nullable=False),
        sa.Column("sweep_id", ID, nullable=False),
        instant("following_at"),
        sa.Column("undecided", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("account_id", "openid", name=op.f("pk_unfollow_candidates")),
    )
    create_views()


def create_views() -> None:
    op.execute(
        """
        CREATE VIEW current_followers AS
        SELECT a.appid, f.account_id, f.openid, f.unionid, f.nickname, f.sex, f.language, f.city,
               f.province, f.country, f.headimgurl, f.subscribe_time, f.remark, f.groupid,
               f.tagid_list, f.subscribe_scene, f.qr_scene, f.qr_scene_str, f.extra,
               f.first_seen_at, f.enriched_at, f.changed_at
        FROM followers f JOIN accounts a ON a.id = f.account_id
        WHERE f.subscribe
        """
    )
    op.execute(
        """
        CREATE VIEW follow_periods AS
        SELECT account_id, openid, followed_after,
               coalesce(followed_before, first_seen_at) AS followed_before,
               unfollowed_after, unfollowed_before
        FROM followers
        UNION ALL
        SELECT account_id, openid, followed_after, followed_before, unfollowed_after,
               unfollowed_before
        FROM past_follow_periods
        """
    )
    # Days as WeChat's own analytics count them: in China.
    if op.get_bind().dialect.name == "postgresql":
        day = "CAST({} AT TIME ZONE 'Asia/Shanghai' AS date)"
    else:
        day = "date({}, '+8 hours')"
    op.execute(
        f"""
        CREATE VIEW daily_follower_changes AS
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
        SELECT account_id, date, followed, unfollowed, followed - unfollowed AS net,
               CAST(sum(followed - unfollowed) OVER (PARTITION BY account_id ORDER BY date)
                    AS bigint) AS total
        FROM days
        """  # noqa: S608 - our own names
    )


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("unfollow_candidates")
    op.drop_table("past_follow_periods")
    op.drop_index(op.f("ix_followers_account_id_unionid"), "followers")
    for name in (*PERIOD, "changed_at", "extra"):
        op.drop_column("followers", name)
    for name in ("lagging", "unfollowed"):
        op.drop_column("runs", name)
    op.drop_column("accounts", "parked_at")
