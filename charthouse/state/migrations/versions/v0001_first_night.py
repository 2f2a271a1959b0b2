"""The first night: people, providers, links, credentials, and the ledger of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table, and the partners that are known from the start."""
    op.create_table(
        "audit_event",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject_kind", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.CheckConstraint("actor IN ('person', 'operator', 'sync', 'partner')", name="ck_audit_event_actor"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_at", "audit_event", ["at"], unique=False)
    op.create_index("ix_audit_event_subject", "audit_event", ["subject_kind", "subject_id"], unique=False)
    op.create_table(
        "partner",
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("region", sa.String(length=2), nullable=True),
        sa.PrimaryKeyConstraint("slug", name="pk_partner"),
    )
    op.create_table(
        "person",
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_key", name="pk_person"),
    )
    op.create_table(
        "sync_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("airflow_run_id", sa.String(length=250), nullable=True),
        sa.Column("resumed", COUNT, nullable=False),
        sa.CheckConstraint("status IN ('running', 'complete', 'partial', 'failed', 'held')", name="ck_sync_run_status"),
        sa.PrimaryKeyConstraint("id", name="pk_sync_run"),
    )
    op.create_index("ix_sync_run_airflow_run_id", "sync_run", ["airflow_run_id"], unique=False)
    op.create_index("ix_sync_run_started_at", "sync_run", ["started_at"], unique=False)
    op.create_index(
        "uq_sync_run_running",
        "sync_run",
        ["scope"],
        unique=True,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "provider",
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("region", sa.String(length=2), nullable=False),
        sa.Column("fhir_base_url", sa.String(length=2048), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.slug"], name="fk_provider_partner"),
        sa.PrimaryKeyConstraint("slug", name="pk_provider"),
    )
    op.create_table(
        "sync_stage",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("attempts", COUNT, nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["sync_run.id"], name="fk_sync_stage_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "stage", "part", name="pk_sync_stage"),
    )
    op.create_table(
        "table_tally",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("table_name", sa.String(length=64), nullable=False),
        sa.Column("rows", COUNT, nullable=False),
        sa.Column("rows_changed", COUNT, nullable=False),
        sa.Column("held_rows", COUNT, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["sync_run.id"], name="fk_table_tally_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "table_name", name="pk_table_tally"),
    )
    op.create_table(
        "link",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("route", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("failed_reason", sa.String(length=64), nullable=True),
        sa.Column("sync_status", sa.String(length=16), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=True),
        sa.Column("granted_scopes", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("route IN ('direct', 'verified', 'phone')", name="ck_link_route"),
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'expired', 'disconnected', 'deleted', 'failed')", name="ck_link_status"
        ),
        sa.CheckConstraint(
            "sync_status IN ('never', 'waiting', 'running', 'complete', 'partial', 'failed')",
            name="ck_link_sync_status",
        ),
        sa.ForeignKeyConstraint(["person_key"], ["person.person_key"], name="fk_link_person_key"),
        sa.ForeignKeyConstraint(["provider"], ["provider.slug"], name="fk_link_provider"),
        sa.PrimaryKeyConstraint("id", name="pk_link"),
        sa.UniqueConstraint("person_key", "provider", "patient_id", name="uq_link_person_key_provider_patient_id"),
    )
    op.create_index("ix_link_provider_status", "link", ["provider", "status"], unique=False)
    op.create_table(
        "credential",
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("sealed_access", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_refresh", sa.LargeBinary(), nullable=True),
        sa.Column("access_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("access_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refresh_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refresh_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", COUNT, nullable=False),
        sa.Column("renewal_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renewal_tries", COUNT, nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_credential_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("link_id", name="pk_credential"),
    )
    op.create_table(
        "item_outcome",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("batch", sa.String(length=255), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=True),
        sa.Column("resource_type", sa.String(length=64), nullable=True),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=5), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("count", COUNT, nullable=False),
        sa.CheckConstraint("unit IN ('resource', 'type', 'link', 'batch')", name="ck_item_outcome_unit"),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_item_outcome_link_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["sync_run.id"], name="fk_item_outcome_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_item_outcome"),
    )
    op.create_index("ix_item_outcome_link_id", "item_outcome", ["link_id"], unique=False)
    op.create_index("ix_item_outcome_run_id_batch", "item_outcome", ["run_id", "batch"], unique=False)
    op.create_table(
        "link_event",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("actor IN ('person', 'operator', 'sync', 'partner')", name="ck_link_event_actor"),
        sa.CheckConstraint("field IN ('status', 'sync_status')", name="ck_link_event_field"),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_link_event_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_link_event"),
    )
    op.create_index("ix_link_event_link_id", "link_event", ["link_id"], unique=False)
    op.create_table(
        "sync_link",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.CheckConstraint("result IN ('waiting', 'complete', 'partial', 'failed')", name="ck_sync_link_result"),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_sync_link_link_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["sync_run.id"], name="fk_sync_link_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "link_id", name="pk_sync_link"),
    )
    op.create_table(
        "sync_tally",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=64), nullable=False),
        sa.Column("fetched", COUNT, nullable=False),
        sa.Column("accepted", COUNT, nullable=False),
        sa.Column("with_remarks", COUNT, nullable=False),
        sa.Column("quarantined", COUNT, nullable=False),
        sa.Column("repeated", COUNT, nullable=False),
        sa.Column("unchanged", COUNT, nullable=False),
        sa.Column("new_versions", COUNT, nullable=False),
        sa.Column("not_requested", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_sync_tally_link_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["sync_run.id"], name="fk_sync_tally_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "link_id", "resource_type", name="pk_sync_tally"),
    )
    op.create_table(
        "watermark",
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.String(length=64), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_watermark_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("link_id", "label", name="pk_watermark"),
    )
    partner = sa.table("partner", sa.column("slug"), sa.column("name"), sa.column("region"))
    op.bulk_insert(
        partner,
        [{"slug": "bwell", "name": "b.well", "region": "US"}, {"slug": "sandbox", "name": "Sandbox", "region": None}],
    )


def downgrade() -> None:
    """There is nothing before the first version."""
    raise NotImplementedError("restore a backup instead")
