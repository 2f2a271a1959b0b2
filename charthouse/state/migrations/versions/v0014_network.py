"""Partner networks: verified identities, accounts at partners, people there, what was found; keys that identify."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PURPOSES = (
    "purpose IN ('client_assertion', 'service_token', 'account_subject', 'receipt')",
    "purpose IN ('client_assertion', 'service_token', 'account_subject', 'receipt', 'identity_token')",
)
STATES = "search_state IN ('none', 'ready', 'running', 'done', 'failed', 'refused', 'unknown')"


def upgrade() -> None:
    """Make the tables, and let a signing key be for identity tokens."""
    _purposes(PURPOSES[1])
    op.create_table(
        "identity_verification",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("verifier", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('verified', 'failed')", name=op.f("ck_identity_verification_outcome")),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_identity_verification_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_identity_verification"),
        sa.UniqueConstraint("verifier", "session_id", name="uq_identity_verification_verifier_session_id"),
    )
    op.create_index(
        "ix_identity_verification_person_key_verified_at",
        "identity_verification",
        ["person_key", "verified_at"],
        unique=False,
    )
    op.create_table(
        "network_account",
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("api_url", sa.String(length=2048), nullable=False),
        sa.Column("fhir_base_url", sa.String(length=2048), nullable=False),
        sa.Column("users_url", sa.String(length=2048), nullable=True),
        sa.Column("client_key", sa.String(length=255), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("webhook_url", sa.String(length=2048), nullable=True),
        sa.Column("sealed_webhook_secret", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_old_webhook_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_webhook_secret_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requests_per_second", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.slug"], name="fk_network_account_partner", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("partner", name="pk_network_account"),
    )
    op.create_table(
        "network_person",
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("partner_person_id", sa.String(length=255), nullable=True),
        sa.Column("consented_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("search_state", sa.String(length=16), nullable=False),
        sa.Column("search_said", sa.String(length=64), nullable=False),
        sa.Column("search_begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("searched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", COUNT, nullable=False),
        sa.Column("code", sa.String(length=5), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(STATES, name=op.f("ck_network_person_search_state")),
        sa.ForeignKeyConstraint(["partner"], ["partner.slug"], name="fk_network_person_partner"),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_network_person_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_key", name="pk_network_person"),
    )
    op.create_index("ix_network_person_partner_next_look_at", "network_person", ["partner", "next_look_at"])
    op.create_index("ix_network_person_partner_person_id", "network_person", ["partner_person_id"])
    op.create_table(
        "found_provider",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("organization", sa.String(length=255), nullable=False),
        sa.Column("patient_id", sa.String(length=255), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=True),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("status_said", sa.String(length=64), nullable=False),
        sa.Column("sync_said", sa.String(length=64), nullable=False),
        sa.Column("errors_said", sa.String(length=255), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("way IN ('connected', 'sign_in')", name=op.f("ck_found_provider_way")),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_found_provider_link_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["partner"], ["partner.slug"], name="fk_found_provider_partner"),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_found_provider_person_key", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["provider"], ["provider.slug"], name="fk_found_provider_provider"),
        sa.PrimaryKeyConstraint("id", name="pk_found_provider"),
        sa.UniqueConstraint(
            "person_key",
            "partner",
            "organization",
            "patient_id",
            name="uq_found_provider_person_key_partner_organization_patient_id",
        ),
    )
    op.create_index("ix_found_provider_link_id", "found_provider", ["link_id"])
    op.create_table(
        "network_message",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("partner", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.slug"], name="fk_network_message_partner", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name="pk_network_message"),
    )
    op.create_index("ix_network_message_received_at", "network_message", ["received_at"])


def downgrade() -> None:
    """Nobody is searched for by a partner any more; verifications are forgotten."""
    for table in ("network_message", "found_provider", "network_person", "network_account", "identity_verification"):
        op.drop_table(table)
    op.execute("DELETE FROM signing_key WHERE purpose = 'identity_token'")
    _purposes(PURPOSES[0])


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
