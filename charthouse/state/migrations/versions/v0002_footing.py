"""Each watermark notes the deposit in the vault that it rests on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; `charthouse.operating.home.prepare` fills it for what had been read before."""
    op.add_column("watermark", sa.Column("deposit", sa.String(length=36), nullable=True))


def downgrade() -> None:
    """Nothing is lost but the knowledge of which vault it was."""
    op.drop_column("watermark", "deposit")
