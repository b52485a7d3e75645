"""Tables, views and columns say what they mean, where the database can (PostgreSQL).

Nothing else changes. SQLite has no comments.
"""

from alembic import op

from syncjob.database import comments

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comments.write(op.get_bind())


def downgrade() -> None:
    comments.write(op.get_bind(), erase=True)
