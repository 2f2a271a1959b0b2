"""Privacy: requests, receipts, tombstones, exports; the audit trail is a chain; API requests know their person."""

import hashlib
import json
import secrets
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SLICE = 1000
ACTORS = "actor IN ('person', 'operator', 'sync', 'partner')"
KINDS = "kind IN ('export', 'delete_link', 'erase')"
PURPOSES = (
    "purpose IN ('client_assertion', 'service_token', 'account_subject')",
    "purpose IN ('client_assertion', 'service_token', 'account_subject', 'receipt')",
)


def upgrade() -> None:
    """Make the tables, and link the audit events that stand, each to the one before it."""
    op.create_table(
        "privacy_request",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=True),
        sa.Column("link_id", sa.String(length=36), nullable=True),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=16), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", COUNT, nullable=False),
        sa.Column("code", sa.String(length=5), nullable=True),
        sa.Column("sealed_notes", sa.LargeBinary(), nullable=True),
        sa.Column("receipt_id", sa.String(length=36), nullable=True),
        sa.CheckConstraint(ACTORS, name=op.f("ck_privacy_request_actor")),
        sa.CheckConstraint(KINDS, name=op.f("ck_privacy_request_kind")),
        sa.CheckConstraint(
            "status IN ('waiting', 'running', 'done', 'cancelled', 'failed')", name=op.f("ck_privacy_request_status")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_privacy_request"),
    )
    op.create_index("ix_privacy_request_person_key", "privacy_request", ["person_key"], unique=False)
    op.create_index("ix_privacy_request_status_begins_at", "privacy_request", ["status", "begins_at"], unique=False)
    op.create_table(
        "receipt",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint(KINDS, name=op.f("ck_receipt_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_receipt"),
    )
    op.create_table(
        "tombstone",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('person', 'link')", name=op.f("ck_tombstone_kind")),
        sa.PrimaryKeyConstraint("digest", name="pk_tombstone"),
    )
    op.create_table(
        "export_part",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("number", COUNT, nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("size", COUNT, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["privacy_request.id"], name=op.f("fk_export_part_request_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_export_part"),
        sa.UniqueConstraint("request_id", "number", name=op.f("uq_export_part_request_id_number")),
    )
    op.create_index("ix_export_part_expires_at", "export_part", ["expires_at"], unique=False)
    op.create_table(
        "download",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("part_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["part_id"], ["export_part.id"], name=op.f("fk_download_part_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_download"),
    )
    op.create_index("ix_download_expires_at", "download", ["expires_at"], unique=False)
    op.create_index("ix_download_part_id", "download", ["part_id"], unique=False)
    op.add_column("idempotent_request", sa.Column("person_key", sa.String(length=36), nullable=True))
    op.create_index("ix_idempotent_request_person_key", "idempotent_request", ["person_key"], unique=False)
    _purposes(PURPOSES[1])
    _chain()


def downgrade() -> None:
    """Take the tables away again, and what the chain knows."""
    op.rename_table("audit_event", "audit_event_chained")
    for name in ("ix_audit_event_subject", "ix_audit_event_at"):
        op.drop_index(name, table_name="audit_event_chained")
    _drop_key("audit_event_chained")
    op.create_table(
        "audit_event",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject_kind", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.CheckConstraint(ACTORS, name=op.f("ck_audit_event_actor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    columns = "id, at, actor, action, subject_kind, subject_id, detail"
    op.execute(
        f"INSERT INTO audit_event ({columns}) SELECT {columns} FROM audit_event_chained WHERE subject_id IS NOT NULL"
    )
    op.drop_table("audit_event_chained")
    _index_events()
    _count_on()
    op.execute("DELETE FROM signing_key WHERE purpose = 'receipt'")
    _purposes(PURPOSES[0])
    op.drop_index("ix_idempotent_request_person_key", table_name="idempotent_request")
    op.drop_column("idempotent_request", "person_key")
    for table in ("download", "export_part", "tombstone", "receipt", "privacy_request"):
        op.drop_table(table)


def _purposes(condition: str) -> None:
    """What a signing key may be for. SQLite cannot change a CHECK, so the table is made anew; nothing points at it."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE signing_key DROP CONSTRAINT IF EXISTS ck_signing_key_purpose")
        op.create_check_constraint(op.f("ck_signing_key_purpose"), "signing_key", condition)
        return
    op.rename_table("signing_key", "signing_key_before")
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("sealed_private", sa.LargeBinary(), nullable=False),
        sa.Column("public", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(condition, name=op.f("ck_signing_key_purpose")),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    op.execute("INSERT INTO signing_key SELECT * FROM signing_key_before")
    op.drop_table("signing_key_before")


def _chain() -> None:
    """Make the trail anew as a chain: each event has the digest of the one before it."""
    op.rename_table("audit_event", "audit_event_before")
    for name in ("ix_audit_event_subject", "ix_audit_event_at"):
        op.drop_index(name, table_name="audit_event_before")
    _drop_key("audit_event_before")
    made = op.create_table(
        "audit_event",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject_kind", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=True),
        sa.Column("subject_digest", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.CheckConstraint(ACTORS, name=op.f("ck_audit_event_actor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    before = sa.table(
        "audit_event_before",
        *(sa.column(name) for name in ("id", "actor", "action", "subject_kind", "subject_id")),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("detail", sa.JSON()),
    )
    connection, previous, number, read = op.get_bind(), "", 0, -1
    while rows := (
        connection.execute(sa.select(before).where(before.c.id > read).order_by(before.c.id).limit(SLICE))
        .mappings()
        .all()
    ):
        chained = []
        for row in rows:
            read, number = row["id"], number + 1  # counted anew: a number that is missing means an event that is
            salt = secrets.token_hex(16)
            subject = hashlib.sha256(f"{salt}\n{row['subject_kind']}\n{row['subject_id']}".encode()).hexdigest()
            at = row["at"].replace(tzinfo=None) if row["at"].tzinfo is None else _in_utc(row["at"])
            said = [number, at.isoformat(), row["actor"], row["action"], row["subject_kind"], subject, row["detail"]]
            text = json.dumps([*said, previous], sort_keys=True, separators=(",", ":"))
            digest = hashlib.sha256(text.encode()).hexdigest()
            links = {"salt": salt, "subject_digest": subject, "previous": previous, "digest": digest}
            chained.append({**row, "id": number, **links})
            previous = digest
        connection.execute(sa.insert(made), chained)
    op.drop_table("audit_event_before")
    _index_events()
    _count_on()


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def _drop_key(table: str) -> None:
    """PostgreSQL keeps the names of constraints, and of the counter, when a table is renamed."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT pk_audit_event")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN id DROP DEFAULT")
        op.execute("DROP SEQUENCE IF EXISTS audit_event_id_seq")


def _index_events() -> None:
    op.create_index("ix_audit_event_at", "audit_event", ["at"], unique=False)
    op.create_index("ix_audit_event_subject", "audit_event", ["subject_kind", "subject_id"], unique=False)


def _count_on() -> None:
    """PostgreSQL counts on from the last event."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SELECT setval('audit_event_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM audit_event), false)")
