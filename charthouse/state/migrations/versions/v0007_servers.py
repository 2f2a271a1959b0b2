"""FHIR servers: their `/metadata` with its ETag, and what asking them has shown."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "fhir_server",
        sa.Column("base", sa.String(length=2048), nullable=False),
        sa.Column("etag", sa.String(length=512), nullable=True),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("learnt", sa.JSON(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("base", name="pk_fhir_server"),
    )


def downgrade() -> None:
    """Forget it; it is read and learnt again."""
    op.drop_table("fhir_server")
