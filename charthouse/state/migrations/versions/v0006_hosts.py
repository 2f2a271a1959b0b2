"""Hosts of providers: the rate at which all workers together ask them, their pages and their failures."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANTS = ("free_at", "closed_until", "failing_since", "probe_at", "page_size_at")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "host",
        sa.Column("host", sa.String(length=512), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False, server_default=sa.text("0")) for name in INSTANTS),
        *(sa.Column(name, COUNT, nullable=False, server_default=sa.text("0")) for name in ("failures", "page_size")),
        sa.PrimaryKeyConstraint("host", name="pk_host"),
    )


def downgrade() -> None:
    """Forget it; it is learnt again."""
    op.drop_table("host")
