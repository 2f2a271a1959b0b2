"""Bulk Data exports: how a provider exports, the jobs at its server, and what it says is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and room for client ids that hold a whole registration."""
    with op.batch_alter_table("client_registration") as table:
        table.alter_column("client_id", existing_type=sa.String(length=255), type_=sa.Text(), existing_nullable=False)
    op.create_table(
        "bulk_source",
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("level", sa.String(length=512), nullable=False),
        sa.Column("base_url", sa.String(length=2048), nullable=True),
        sa.Column("registration", sa.String(length=64), nullable=True),
        sa.Column("file_origin", sa.String(length=512), nullable=True),
        sa.Column("partial_manifests", sa.Boolean(), nullable=False),
        sa.Column("from_links", COUNT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["provider"], ["provider.slug"], name="fk_bulk_source_provider", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("provider", name="pk_bulk_source"),
    )
    op.create_table(
        "bulk_job",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.String(length=255), nullable=False),
        sa.Column("level", sa.String(length=512), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("since", sa.String(length=64), nullable=True),
        sa.Column("sealed_status_url", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=5), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_poll_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("polls", COUNT, nullable=False),
        sa.Column("stumbles", COUNT, nullable=False),
        sa.Column("percent", COUNT, nullable=True),
        sa.Column("transaction_time", sa.String(length=64), nullable=True),
        sa.Column("files", COUNT, nullable=True),
        sa.Column("lines", COUNT, nullable=True),
        sa.Column("left_out", COUNT, nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('begun', 'done', 'failed', 'left')", name=op.f("ck_bulk_job_status")),
        sa.ForeignKeyConstraint(["provider"], ["provider.slug"], name="fk_bulk_job_provider", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_bulk_job"),
    )
    op.create_index("ix_bulk_job_provider_status", "bulk_job", ["provider", "status"], unique=False)
    op.create_table(
        "gone_resource",
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=512), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_gone_resource_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("link_id", "resource_type", "resource_id", name="pk_gone_resource"),
    )


def downgrade() -> None:
    """Providers are searched again; which resources were called deleted is forgotten."""
    with op.batch_alter_table("client_registration") as table:
        table.alter_column("client_id", existing_type=sa.Text(), type_=sa.String(length=255), existing_nullable=False)
    op.drop_table("gone_resource")
    op.drop_table("bulk_job")
    op.drop_table("bulk_source")
