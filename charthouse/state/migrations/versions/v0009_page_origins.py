"""Providers whose pages go on at another origin of theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the column."""
    op.add_column("provider", sa.Column("page_origins", sa.String(length=2048), nullable=True))


def downgrade() -> None:
    """Take it away: pages then stay at the origin of the base."""
    op.drop_column("provider", "page_origins")
