"""Linking and telling people: consents, registrations, brands, sign-ins, learnt lifetimes, the outbox, API requests."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KINDS = (
    "kind IN ('confirmed', 'not_confirmed', 'expiring', 'expired', 'reconnected', 'disconnected', 'provider_found', "
    "'export_ready', 'erased', 'action_needed')"
)
CHANNELS = "channel IN ('email', 'push', 'apprise')"
FIELDS = ("field IN ('status', 'sync_status')", "field IN ('status', 'sync_status', 'watch')")


def upgrade() -> None:
    """Make the tables and columns of linking; what stood stays as it was."""
    op.create_table(
        "brand_bundle",
        sa.Column("source", sa.String(length=2048), nullable=False),
        sa.Column("etag", sa.String(length=512), nullable=True),
        sa.Column("updated", sa.String(length=64), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("source", name="pk_brand_bundle"),
    )
    op.create_table(
        "client_registration",
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("auth", sa.String(length=32), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=True),
        sa.Column("algorithm", sa.String(length=16), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "auth IN ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')",
            name=op.f("ck_client_registration_auth"),
        ),
        sa.PrimaryKeyConstraint("slug", name="pk_client_registration"),
    )
    op.create_table(
        "idempotent_request",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", COUNT, nullable=True),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name="pk_idempotent_request"),
    )
    op.create_index("ix_idempotent_request_created_at", "idempotent_request", ["created_at"], unique=False)
    op.create_table(
        "operator_alarm",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("code", sa.String(length=5), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("count", COUNT, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_operator_alarm"),
    )
    op.create_index("ix_operator_alarm_code_subject", "operator_alarm", ["code", "subject"], unique=False)
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
        sa.CheckConstraint(
            "purpose IN ('client_assertion', 'service_token', 'account_subject')", name=op.f("ck_signing_key_purpose")
        ),
        sa.PrimaryKeyConstraint("kid", name="pk_signing_key"),
    )
    op.create_table(
        "webhook_secret",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('webhook', 'unsubscribe')", name=op.f("ck_webhook_secret_purpose")),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_secret"),
    )
    op.create_table(
        "brand",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("source", sa.String(length=2048), nullable=False),
        sa.Column("reference", sa.String(length=2048), nullable=False),
        sa.Column("identifier", sa.String(length=512), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("aliases", sa.JSON(), nullable=False),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("places", sa.JSON(), nullable=False),
        sa.Column("website", sa.String(length=2048), nullable=True),
        sa.Column("parent", sa.String(length=2048), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["brand_bundle.source"], name="fk_brand_source", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_brand"),
    )
    op.create_index("ix_brand_identifier", "brand", ["identifier"], unique=False)
    op.create_index("ix_brand_source", "brand", ["source"], unique=False)
    op.create_table(
        "consent",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_consent_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_consent"),
    )
    op.create_index("ix_consent_person_key_kind", "consent", ["person_key", "kind"], unique=False)
    op.create_table(
        "contact",
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("sealed_address", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(CHANNELS, name=op.f("ck_contact_channel")),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_contact_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_key", "channel", name="pk_contact"),
    )
    op.create_table(
        "preference",
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("language", sa.String(length=16), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("quiet_from", sa.Time(), nullable=True),
        sa.Column("quiet_until", sa.Time(), nullable=True),
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("provider_in_push", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.CheckConstraint("digest IN ('none', 'daily')", name=op.f("ck_preference_digest")),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_preference_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_key", name="pk_preference"),
    )
    op.create_table(
        "unsubscription",
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(CHANNELS, name=op.f("ck_unsubscription_channel")),
        sa.CheckConstraint(
            KINDS,
            name=op.f("ck_unsubscription_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_unsubscription_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_key", "channel", "kind", name="pk_unsubscription"),
    )
    op.create_table(
        "brand_endpoint",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("brand_id", sa.String(length=36), nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("portal_name", sa.String(length=255), nullable=False),
        sa.Column("portal_url", sa.String(length=2048), nullable=True),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name="fk_brand_endpoint_brand_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["provider"], ["provider.slug"], name="fk_brand_endpoint_provider", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_brand_endpoint"),
        sa.UniqueConstraint(
            "brand_id", "portal_name", "provider", name="uq_brand_endpoint_brand_id_portal_name_provider"
        ),
    )
    op.create_index("ix_brand_endpoint_provider", "brand_endpoint", ["provider"], unique=False)
    op.create_table(
        "grant_end",
        sa.Column("id", COUNT, nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("age_seconds", COUNT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["provider"], ["provider.slug"], name="fk_grant_end_provider", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_grant_end"),
    )
    op.create_index("ix_grant_end_provider_at", "grant_end", ["provider", "at"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("dedupe_key", sa.String(length=255), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            KINDS,
            name=op.f("ck_notice_kind"),
        ),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_notice_link_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_key"], ["person.person_key"], name="fk_notice_person_key", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.UniqueConstraint("dedupe_key", name="uq_notice_dedupe_key"),
    )
    op.create_index("ix_notice_link_id", "notice", ["link_id"], unique=False)
    op.create_index("ix_notice_person_key_created_at", "notice", ["person_key", "created_at"], unique=False)
    op.create_index("ix_notice_planned_at", "notice", ["planned_at"], unique=False)
    op.create_table(
        "removal",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("person_key", sa.String(length=36), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_removal_link_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_key"], ["person.person_key"], name="fk_removal_person_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_removal"),
    )
    op.create_index("ix_removal_person_key", "removal", ["person_key"], unique=False)
    op.create_table(
        "sign_in",
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("link_id", sa.String(length=36), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=True),
        sa.Column("sealed_secrets", sa.LargeBinary(), nullable=True),
        sa.Column("issuer", sa.String(length=2048), nullable=True),
        sa.Column("redirect_uri", sa.String(length=2048), nullable=False),
        sa.Column("return_to", sa.String(length=2048), nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name="fk_sign_in_link_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("state_hash", name="pk_sign_in"),
    )
    op.create_index("ix_sign_in_expires_at", "sign_in", ["expires_at"], unique=False)
    op.create_index("ix_sign_in_link_id", "sign_in", ["link_id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("notice_id", sa.String(length=36), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", COUNT, nullable=False),
        sa.Column("code", sa.String(length=5), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(CHANNELS, name=op.f("ck_delivery_channel")),
        sa.CheckConstraint(
            "status IN ('waiting', 'sending', 'sent', 'undeliverable', 'suppressed')", name=op.f("ck_delivery_status")
        ),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name="fk_delivery_notice_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("notice_id", "channel", name="uq_delivery_notice_id_channel"),
    )
    op.create_index("ix_delivery_status_next_try_at", "delivery", ["status", "next_try_at"], unique=False)
    op.add_column("credential", sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("credential", sa.Column("told_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("credential", sa.Column("next_refresh_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_credential_next_refresh_at", "credential", ["next_refresh_at"], unique=False)
    op.add_column("link", sa.Column("identity_matched_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("link", sa.Column("sync_requested_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("person", sa.Column("subject", sa.String(length=255), nullable=True))
    op.add_column("person", sa.Column("preview_member", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("person", sa.Column("android_version", COUNT, nullable=True))
    op.add_column("person", sa.Column("sealed_identity", sa.LargeBinary(), nullable=True))
    op.create_index("ix_person_subject", "person", ["subject"], unique=True)
    op.add_column("provider", sa.Column("registration", sa.String(length=64), nullable=True))
    op.add_column("provider", sa.Column("portal_url", sa.String(length=2048), nullable=True))
    op.add_column("provider", sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))

    _check_fields(FIELDS[1])


def downgrade() -> None:
    """Go back to links without what linking keeps."""
    op.execute("DELETE FROM link_event WHERE field = 'watch'")
    _check_fields(FIELDS[0])
    op.drop_index("ix_credential_next_refresh_at", table_name="credential")
    op.drop_index("ix_person_subject", table_name="person")
    op.drop_column("provider", "retired_at")
    op.drop_column("provider", "portal_url")
    op.drop_column("provider", "registration")
    op.drop_column("person", "sealed_identity")
    op.drop_column("person", "android_version")
    op.drop_column("person", "preview_member")
    op.drop_column("person", "subject")
    op.drop_column("link", "sync_requested_at")
    op.drop_column("link", "identity_matched_at")
    op.drop_column("credential", "next_refresh_at")
    op.drop_column("credential", "told_since")
    op.drop_column("credential", "granted_at")
    for table in (
        "delivery",
        "sign_in",
        "removal",
        "notice",
        "grant_end",
        "brand_endpoint",
        "unsubscription",
        "preference",
        "contact",
        "consent",
        "brand",
        "webhook_secret",
        "signing_key",
        "operator_alarm",
        "idempotent_request",
        "client_registration",
        "brand_bundle",
    ):
        op.drop_table(table)


def _check_fields(condition: str) -> None:
    """Replace the check of `link_event.field`. SQLite cannot; nothing points at the table, so there it is copied."""
    if op.get_bind().dialect.name != "sqlite":
        for name in ("ck_link_event_ck_link_event_field", "ck_link_event_field"):  # 0001 gave it the first
            op.execute(f"ALTER TABLE link_event DROP CONSTRAINT IF EXISTS {name}")
        op.create_check_constraint(op.f("ck_link_event_field"), "link_event", condition)
        return
    op.rename_table("link_event", "link_event_before")
    op.drop_index("ix_link_event_link_id", table_name="link_event_before")
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
        sa.CheckConstraint("actor IN ('person', 'operator', 'sync', 'partner')", name=op.f("ck_link_event_actor")),
        sa.CheckConstraint(condition, name=op.f("ck_link_event_field")),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name=op.f("fk_link_event_link_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_event")),
    )
    op.execute("INSERT INTO link_event SELECT * FROM link_event_before ORDER BY id")
    op.drop_table("link_event_before")
    op.create_index("ix_link_event_link_id", "link_event", ["link_id"])
