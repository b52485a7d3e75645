"""Failed calls are counted by errcode; the last notice of each channel is stored.

A token's row has a hash of the credentials that it was fetched with.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("credentials", sa.Text()))
    op.create_table(
        "api_errors",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("cgi_path", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_api_errors_run_id")),
        sa.PrimaryKeyConstraint("run_id", "cgi_path", "error", name=op.f("pk_api_errors")),
    )
    op.create_table(
        "notices",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_notices_account_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "channel", name=op.f("pk_notices")),
    )


def downgrade() -> None:
    op.drop_table("notices")
    op.drop_table("api_errors")
    op.drop_column("access_tokens", "credentials")
