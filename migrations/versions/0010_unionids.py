"""Quarantine has the rid of a refusal; an account records that profiles lack their unionid."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("rid", sa.Text()))
    op.add_column("accounts", sa.Column("unionids_missing_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("accounts", "unionids_missing_at")
    op.drop_column("quarantine", "rid")
