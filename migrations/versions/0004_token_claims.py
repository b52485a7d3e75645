"""A process that fetches an access token claims that first."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    generation = sa.Column("generation", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("access_tokens", generation)
    op.add_column("access_tokens", sa.Column("fetching_until", sa.DateTime(timezone=True)))
    op.add_column("access_tokens", sa.Column("fetching_by", sa.Text()))


def downgrade() -> None:
    op.drop_column("access_tokens", "fetching_by")
    op.drop_column("access_tokens", "fetching_until")
    op.drop_column("access_tokens", "generation")
