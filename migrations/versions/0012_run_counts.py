"""Counts of a run's steps have a table of their own, so that a new step needs no new column."""

import sqlalchemy as sa
from alembic import op

from syncjob.database import comments

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "run_counts",
        sa.Column("run_id", ID, nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_counts_run_id")),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_run_counts")),
    )
    comments.write(op.get_bind())


def downgrade() -> None:
    op.drop_table("run_counts")
