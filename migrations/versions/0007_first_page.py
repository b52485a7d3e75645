"""A follower's row says which page of the sweep has listed them first.

So a profile may be stored before the page that it belongs to, and each follower be written once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("followers", sa.Column("first_page", sa.Integer()))
    # Whom a sweep has brought that is still open: its pages so far are stored.
    op.execute(
        "UPDATE followers SET first_page = 0 "
        "WHERE first_sweep_id IN (SELECT id FROM sweeps WHERE status = 'open')"
    )


def downgrade() -> None:
    # The version before takes everybody for listed whom the open sweep has brought.
    op.execute(
        "UPDATE followers SET first_sweep_id = NULL "
        "WHERE EXISTS (SELECT 1 FROM sweeps WHERE sweeps.status = 'open' "
        "AND sweeps.id = followers.first_sweep_id "
        "AND (followers.first_page IS NULL OR followers.first_page > sweeps.pages))"
    )
    op.drop_column("followers", "first_page")
