"""What asking took, by link and type; what is served no longer, and why; when a link was read whole."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTS = ("requests", "retries", "pages", "received", "bytes", "vanished", "returned")


def upgrade() -> None:
    """Add the columns: nothing is known of earlier nights."""
    op.add_column("sync_tally", sa.Column("result", sa.String(length=16), nullable=False, server_default=sa.text("''")))
    op.add_column("sync_tally", sa.Column("code", sa.String(length=5), nullable=False, server_default=sa.text("''")))
    for name in COUNTS:
        op.add_column("sync_tally", sa.Column(name, COUNT, nullable=False, server_default=sa.text("0")))
    op.add_column("sync_tally", sa.Column("waited", sa.Double(), nullable=False, server_default=sa.text("0")))
    op.add_column("gone_resource", sa.Column("reason", sa.String(length=16), nullable=False, server_default="deleted"))
    op.add_column("link", sa.Column("read_whole_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("link", "read_whole_at")
    op.drop_column("gone_resource", "reason")
    for name in ("waited", *reversed(COUNTS), "code", "result"):
        op.drop_column("sync_tally", name)
