"""Write less for each follower: first_sweep_id, a cheaper unionid index, no foreign key."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("followers", sa.Column("first_sweep_id", sa.BigInteger()))
    op.drop_index(op.f("ix_followers_account_id_unionid"), "followers")
    known = sa.text("unionid IS NOT NULL")
    op.create_index(
        op.f("ix_followers_unionid"),
        "followers",
        ["unionid"],
        postgresql_using="hash",
        postgresql_where=known,
        sqlite_where=known,
    )
    # Checking it costs a third of a new row. SQLite would have to copy the whole table to drop it,
    # and keeps it: there the check costs next to nothing.
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("fk_followers_account_id"), "followers", type_="foreignkey")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_foreign_key(
            op.f("fk_followers_account_id"), "followers", "accounts", ["account_id"], ["id"]
        )
    op.drop_index(op.f("ix_followers_unionid"), "followers")
    op.create_index(op.f("ix_followers_account_id_unionid"), "followers", ["account_id", "unionid"])
    op.drop_column("followers", "first_sweep_id")
