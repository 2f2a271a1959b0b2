"""The coach's feed: how far it has come, and the people in it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables. The feed's one row is made by whoever needs it first."""
    op.create_table(
        "coach_feed",
        sa.Column("id", COUNT, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=36), nullable=False),
        sa.Column("seq", COUNT, nullable=False),
        sa.Column("horizon", COUNT, nullable=False),
        sa.Column("days", sa.JSON(), nullable=False),
        sa.Column("told_seq", COUNT, nullable=False),
        sa.Column("telling_id", sa.String(length=36), nullable=True),
        sa.Column("telling_seq", COUNT, nullable=True),
        sa.Column("telling_tries", COUNT, nullable=False),
        sa.Column("next_telling_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("telling_code", sa.String(length=5), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_coach_feed"),
    )
    op.create_table(
        "coach_feed_entry",
        sa.Column("subject", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=True),
        sa.Column("seq", COUNT, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=True),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("subject", name="pk_coach_feed_entry"),
        sa.UniqueConstraint("person_key", name="uq_coach_feed_entry_person_key"),
        sa.UniqueConstraint("seq", name="uq_coach_feed_entry_seq"),
    )
    op.create_index("ix_coach_feed_entry_gone_at", "coach_feed_entry", ["gone_at"])


def downgrade() -> None:
    """No feed any more."""
    op.drop_table("coach_feed_entry")
    op.drop_table("coach_feed")
