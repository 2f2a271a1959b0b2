"""What a whole reading did not bring and is asked for again, and documents that were not to be had."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column and the table: nothing is owed, and every document is asked for once more."""
    op.add_column("watermark", sa.Column("owed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "missing_document",
        sa.Column("link_id", sa.String(length=36), sa.ForeignKey("link.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("resource_id", sa.String(length=512), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Forget it."""
    op.drop_table("missing_document")
    op.drop_column("watermark", "owed")
