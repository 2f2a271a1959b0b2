"""Phones: the app on each, its data sources, and uploads on their way."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "phone_device",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quota_left", sa.Double(), nullable=False),
        sa.Column("quota_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_key"], ["person.person_key"], name="fk_phone_device_person_key"),
        sa.PrimaryKeyConstraint("id", name="pk_phone_device"),
    )
    op.create_index("ix_phone_device_person_key", "phone_device", ["person_key"], unique=False)
    op.create_table(
        "phone_source",
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("source_id", sa.String(length=36), nullable=False),
        sa.Column("package_name", sa.String(length=255), nullable=False),
        sa.Column("fhir_base_uri", sa.String(length=2000), nullable=False),
        sa.Column("display_name", sa.String(length=90), nullable=False),
        sa.Column("fhir_version", sa.String(length=16), nullable=False),
        sa.Column("patient_ids", sa.JSON(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("changes_token", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_phone_source_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("link_id", name="pk_phone_source"),
    )
    op.create_index("ix_phone_source_device_id", "phone_source", ["device_id"], unique=False)
    op.create_table(
        "phone_upload",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("device_id", sa.String(length=36), nullable=False),
        sa.Column("reading", sa.String(length=36), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("length", COUNT, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("changes_token", sa.Text(), nullable=True),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=5), nullable=True),
        sa.Column("records", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("mode IN ('full', 'changes')", name=op.f("ck_phone_upload_mode")),
        sa.CheckConstraint(
            "status IN ('open', 'received', 'accepted', 'refused', 'stored')", name=op.f("ck_phone_upload_status")
        ),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_phone_upload_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_phone_upload"),
        sa.UniqueConstraint("link_id", "reading", name="uq_phone_upload_link_id_reading"),
    )
    op.create_index("ix_phone_upload_link_id", "phone_upload", ["link_id"], unique=False)
    op.create_index("ix_phone_upload_changed_at", "phone_upload", ["changed_at"], unique=False)


def downgrade() -> None:
    """Forget the phones."""
    op.drop_table("phone_upload")
    op.drop_table("phone_source")
    op.drop_table("phone_device")
