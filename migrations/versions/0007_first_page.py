"""A follower's row names the page of the sweep that listed them first.

So a profile can be stored before its page is, and each follower is written once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("followers", sa.Column("first_page", sa.Integer()))
    # Followers that an open sweep has added: its pages so far are stored.
    op.execute(
        "UPDATE followers SET first_page = 0 "
        "WHERE first_sweep_id IN (SELECT id FROM sweeps WHERE status = 'open')"
    )


def downgrade() -> None:
    # The version before treats all followers that the open sweep has added as listed.
    op.execute(
        "UPDATE followers SET first_sweep_id = NULL "
        "WHERE EXISTS (SELECT 1 FROM sweeps WHERE sweeps.status = 'open' "
        "AND sweeps.id = followers.first_sweep_id "
        "AND (followers.first_page IS NULL OR followers.first_page > sweeps.pages))"
    )
    op.drop_column("followers", "first_page")
