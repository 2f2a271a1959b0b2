"""Verifiers of identities, their sessions and messages; one lapses when its account becomes somebody else."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables and the column."""
    op.add_column("identity_verification", sa.Column("lapsed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "identity_verifier",
        sa.Column("verifier", sa.String(length=64), nullable=False),
        sa.Column("api_url", sa.String(length=2048), nullable=False),
        sa.Column("page_url", sa.String(length=2048), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_webhook_secret", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_old_webhook_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_webhook_secret_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requests_per_second", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("verifier", name="pk_identity_verifier"),
    )
    op.create_table(
        "identity_session",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("verifier", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("sealed_address", sa.LargeBinary(), nullable=True),
        sa.Column("return_to", sa.String(length=2048), nullable=True),
        sa.Column("subject_digest", sa.String(length=64), nullable=True),
        sa.Column("said", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=5), nullable=True),
        sa.Column("looks", COUNT, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_identity_session_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_identity_session"),
        sa.UniqueConstraint("state_hash", name="uq_identity_session_state_hash"),
        sa.UniqueConstraint("verifier", "session_id", name="uq_identity_session_verifier_session_id"),
    )
    for column in ("person_key", "next_look_at", "subject_digest"):
        op.create_index(f"ix_identity_session_{column}", "identity_session", [column])
    op.create_table(
        "identity_message",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("verifier", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_identity_message"),
    )
    op.create_index("ix_identity_message_received_at", "identity_message", ["received_at"])


def downgrade() -> None:
    """Nobody verifies anybody any more; what came of it before stays."""
    for table in ("identity_message", "identity_session", "identity_verifier"):
        op.drop_table(table)
    op.drop_column("identity_verification", "lapsed_at")
