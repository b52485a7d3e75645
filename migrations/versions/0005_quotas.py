"""Calls are counted by quota day and endpoint; hashes get a key, runs their exit code."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def instant(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True))


def upgrade() -> None:
    op.add_column("accounts", sa.Column("hash_key", sa.Text()))
    op.add_column("runs", sa.Column("exit_code", sa.SmallInteger()))
    op.create_table(
        "api_calls",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("cgi_path", sa.Text(), nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_api_calls_run_id")),
        sa.PrimaryKeyConstraint("day", "cgi_path", "run_id", name=op.f("pk_api_calls")),
    )
    op.create_table(
        "quotas",
        sa.Column("account_id", ID, nullable=False),
        sa.Column("cgi_path", sa.Text(), nullable=False),
        sa.Column("daily_limit", sa.BigInteger()),
        sa.Column("used", sa.BigInteger()),
        instant("told_at"),
        instant("exhausted_at"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_quotas_account_id")),
        sa.PrimaryKeyConstraint("account_id", "cgi_path", name=op.f("pk_quotas")),
    )
    op.execute(
        """
        CREATE VIEW daily_api_calls AS
        SELECT runs.account_id, api_calls.day, api_calls.cgi_path, sum(api_calls.calls) AS calls
        FROM api_calls JOIN runs ON runs.id = api_calls.run_id
        GROUP BY runs.account_id, api_calls.day, api_calls.cgi_path
        """
    )


def downgrade() -> None:
    op.execute("DROP VIEW daily_api_calls")
    op.drop_table("quotas")
    op.drop_table("api_calls")
    op.drop_column("runs", "exit_code")
    op.drop_column("accounts", "hash_key")
