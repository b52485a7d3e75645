"""The first schema: accounts, followers, sweeps, runs, access tokens, quarantine.

Written out, not taken from syncjob.database.tables: a migration stays as it was when it ran.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPENID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
JSON_LIST = sa.JSON().with_variant(JSONB(), "postgresql")


def identity() -> sa.Column:
    return sa.Column("id", ID, sa.Identity(), nullable=False)


def instant(name: str, *, nullable: bool = True) -> sa.Column:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def count(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def account_id() -> sa.Column:
    return sa.Column("account_id", ID, nullable=False, autoincrement=False)


def of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account_id"], ["accounts.id"], name=op.f(f"fk_{table}_account_id")
    )


def upgrade() -> None:
    op.create_table(
        "accounts",
        identity(),
        sa.Column("appid", sa.Text(), nullable=False),
        instant("created_at", nullable=False),
        instant("backfill_started_at"),
        instant("backfill_finished_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("appid", name=op.f("uq_accounts_appid")),
    )
    op.create_table(
        "followers",
        account_id(),
        sa.Column("openid", OPENID, nullable=False),
        sa.Column("subscribe", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("nickname", sa.Text()),
        sa.Column("sex", sa.SmallInteger()),
        sa.Column("language", sa.Text()),
        sa.Column("city", sa.Text()),
        sa.Column("province", sa.Text()),
        sa.Column("country", sa.Text()),
        sa.Column("headimgurl", sa.Text()),
        instant("subscribe_time"),
        sa.Column("unionid", sa.Text()),
        sa.Column("remark", sa.Text()),
        sa.Column("groupid", sa.BigInteger()),
        sa.Column("tagid_list", JSON_LIST),
        sa.Column("subscribe_scene", sa.Text()),
        sa.Column("qr_scene", sa.BigInteger()),
        sa.Column("qr_scene_str", sa.Text()),
        instant("first_seen_at", nullable=False),
        instant("enriched_at"),
        instant("unsubscribed_at"),
        of_account("followers"),
        sa.PrimaryKeyConstraint("account_id", "openid", name=op.f("pk_followers")),
    )
    op.create_table(
        "sweeps",
        identity(),
        account_id(),
        sa.Column("status", sa.Text(), nullable=False),
        instant("started_at", nullable=False),
        instant("finished_at"),
        sa.Column("next_openid", OPENID),
        count("pages"),
        count("openids"),
        sa.Column("total_first", sa.BigInteger()),
        sa.Column("total_last", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        of_account("sweeps"),
        sa.CheckConstraint(
            "status IN ('open', 'sealed', 'discarded')", name=op.f("ck_sweeps_status")
        ),
        sa.CheckConstraint(
            "(status = 'open') = (finished_at IS NULL)", name=op.f("ck_sweeps_open_is_unfinished")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
    )
    one_of_each_account("one_open_sweep", "sweeps", "status = 'open'")
    op.create_table(
        "sweep_openids",
        sa.Column("sweep_id", ID, nullable=False, autoincrement=False),
        sa.Column("openid", OPENID, nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", "openid", name=op.f("pk_sweep_openids")),
    )
    op.create_table(
        "runs",
        identity(),
        account_id(),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        instant("started_at", nullable=False),
        instant("heartbeat_at", nullable=False),
        instant("finished_at"),
        count("pages"),
        count("openids"),
        count("new"),
        count("returned"),
        count("enriched"),
        count("skipped"),
        count("calls"),
        count("retries"),
        sa.Column("errcode", sa.BigInteger()),
        sa.Column("message", sa.Text()),
        sa.Column("rid", sa.Text()),
        sa.Column("holder", sa.Text()),
        of_account("runs"),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'failed', 'interrupted', 'abandoned')",
            name=op.f("ck_runs_status"),
        ),
        sa.CheckConstraint(
            "(status = 'running') = (finished_at IS NULL)",
            name=op.f("ck_runs_running_is_unfinished"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_account_id_started_at"), "runs", ["account_id", "started_at"])
    one_of_each_account("one_running_run", "runs", "status = 'running'")
    op.create_table(
        "access_tokens",
        account_id(),
        sa.Column("access_token", sa.Text(), nullable=False),
        instant("fetched_at", nullable=False),
        instant("refresh_at", nullable=False),
        of_account("access_tokens"),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_access_tokens")),
    )
    op.create_table(
        "quarantine",
        account_id(),
        sa.Column("openid", OPENID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("errcode", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("1")),
        instant("first_failed_at", nullable=False),
        instant("next_try_at", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "openid"],
            ["followers.account_id", "followers.openid"],
            name=op.f("fk_quarantine_account_id_openid"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "openid", name=op.f("pk_quarantine")),
    )


def one_of_each_account(name: str, table: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(
        name, table, ["account_id"], unique=True, sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    for table in ("quarantine", "access_tokens", "runs", "sweep_openids", "sweeps", "followers"):
        op.drop_table(table)
    op.drop_table("accounts")
