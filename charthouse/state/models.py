"""Who is linked to whom: partners, providers, people, links with events, credentials and watermarks, the audit trail.

No table holds a name, a birth date or an address of a person. Two columns are secrets: `link.patient_id` (the person's
id at the provider) and the sealed tokens of `credential`.
"""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Any, Literal, get_args

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, false, true
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of

Route = Literal["direct", "verified", "phone"]
Status = Literal["pending", "confirmed", "expired", "disconnected", "deleted", "failed"]
SyncStatus = Literal["never", "waiting", "running", "complete", "partial", "failed"]
Actor = Literal["person", "operator", "sync", "partner"]
Field = Literal["status", "sync_status", "watch"]

ROUTES: tuple[Route, ...] = get_args(Route)
STATUSES: tuple[Status, ...] = get_args(Status)
SYNC_STATUSES: tuple[SyncStatus, ...] = get_args(SyncStatus)
ACTORS: tuple[Actor, ...] = get_args(Actor)
FIELDS: tuple[Field, ...] = get_args(Field)

Word = String(16)
Slug = String(64)


class Partner(Base):
    """Who connects us to the providers of a region. `region` is an ISO 3166-1 alpha-2 country; empty = none."""

    __tablename__ = "partner"

    slug: Mapped[str] = mapped_column(Slug, primary_key=True)
    name: Mapped[str]
    region: Mapped[str | None] = mapped_column(String(2))


class Provider(Base):
    """Who holds the records, at one FHIR endpoint. `partner` is empty where we speak to that endpoint ourselves.

    `registration` is the slug of a `client_registration` (no foreign key: SQLite cannot add one to a table that others
    point at); empty: public, by the client id of the settings. `portal_url` leads people to the provider's own switch.
    `page_origins` are origins, by commas, at which its pages may go on beside that of its base: tokens are sent there.
    """

    __tablename__ = "provider"

    slug: Mapped[str] = mapped_column(Slug, primary_key=True)
    name: Mapped[str]
    region: Mapped[str] = mapped_column(String(2))
    fhir_base_url: Mapped[str] = mapped_column(String(2048))
    partner: Mapped[str | None] = mapped_column(ForeignKey("partner.slug"))
    active: Mapped[bool] = mapped_column(default=True, server_default=true())
    created_at: Mapped[datetime] = mapped_column(default=now)
    registration: Mapped[str | None] = mapped_column(Slug)
    portal_url: Mapped[str | None] = mapped_column(String(2048))
    page_origins: Mapped[str | None] = mapped_column(String(2048))
    retired_at: Mapped[datetime | None]


class Person(Base):
    """An account holder, known by a random key that says nothing.

    `subject` is a keyed hash of the back end's own id of the account, so that the same account is not made twice.
    `sealed_identity` is what the account tells of the person (names, birth date), opened for comparisons alone.
    `premium` is whether the account has the subscription that the coach is a part of.
    """

    __tablename__ = "person"

    person_key: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    country: Mapped[str] = mapped_column(String(2))
    created_at: Mapped[datetime] = mapped_column(default=now)
    subject: Mapped[str | None] = mapped_column(index=True, unique=True)
    preview_member: Mapped[bool] = mapped_column(default=True, server_default=true())
    premium: Mapped[bool] = mapped_column(default=False, server_default=false())
    android_version: Mapped[int | None]
    sealed_identity: Mapped[bytes | None] = mapped_column(LargeBinary)


class Link(Base):
    """One person at one provider by one route. Change its states through `charthouse.linking.links` only.

    `read_whole_at` is when it was last asked for everything, and not for what is new alone.
    """

    __tablename__ = "link"
    __table_args__ = (
        UniqueConstraint("person_key", "provider", "patient_id"),
        one_of("route", ROUTES),
        one_of("status", STATUSES),
        one_of("sync_status", SYNC_STATUSES),
        Index("ix_link_provider_status", "provider", "status"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key"))
    provider: Mapped[str] = mapped_column(ForeignKey("provider.slug"))
    route: Mapped[Route] = mapped_column(Word)
    status: Mapped[Status] = mapped_column(Word, default="pending")
    failed_reason: Mapped[str | None] = mapped_column(String(64))
    sync_status: Mapped[SyncStatus] = mapped_column(Word, default="never")
    patient_id: Mapped[str | None]
    granted_scopes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    status_at: Mapped[datetime] = mapped_column(default=now)
    confirmed_at: Mapped[datetime | None]
    last_synced_at: Mapped[datetime | None]
    identity_matched_at: Mapped[datetime | None]
    sync_requested_at: Mapped[datetime | None]
    read_whole_at: Mapped[datetime | None]


class LinkEvent(Base):
    """One transition of one field of a link. Written with the transition, never changed.

    The field `watch` has no state of its own: its events say what a deadline found (`expiring`, `unconfirmed`).
    """

    __tablename__ = "link_event"
    __table_args__ = (one_of("field", FIELDS), one_of("actor", ACTORS))

    id: Mapped[int] = mapped_column(primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), index=True)
    field: Mapped[Field] = mapped_column(Word)
    from_state: Mapped[str | None] = mapped_column(Word)
    to_state: Mapped[str] = mapped_column(Word)
    reason: Mapped[str] = mapped_column(String(64))
    actor: Mapped[Actor] = mapped_column(Word)
    at: Mapped[datetime] = mapped_column(default=now)


class Credential(Base):
    """The tokens of a link, sealed. `version` counts what was stored; `renewal_started_at` marks a renewal in flight.

    `granted_at` is when the person signed in. `refresh_expires_at` is when the grant ends where a provider tells it,
    and otherwise unknown (never assumed); `told_since` is when that end was told first. `next_refresh_at` is when the
    hourly refresh takes the link up.
    """

    __tablename__ = "credential"

    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    sealed_access: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_refresh: Mapped[bytes | None] = mapped_column(LargeBinary)
    access_seen_at: Mapped[datetime]
    access_expires_at: Mapped[datetime | None]
    refresh_seen_at: Mapped[datetime | None]
    refresh_expires_at: Mapped[datetime | None]
    told_since: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    granted_at: Mapped[datetime | None]
    next_refresh_at: Mapped[datetime | None] = mapped_column(index=True)
    renewal_started_at: Mapped[datetime | None]
    renewal_tries: Mapped[int] = mapped_column(default=0)


class Watermark(Base):
    """How far a query of a link has been read: the provider's own greatest `meta.lastUpdated`, as it wrote it.

    `deposit` is the vault's id of what this rests on: without that deposit the vault lacks what was read. Empty in rows
    of before deposits were kept. `owed`: everything was asked for, and did not come; it is asked for again.
    """

    __tablename__ = "watermark"

    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(String(64))
    moved_at: Mapped[datetime] = mapped_column(default=now)
    deposit: Mapped[str | None] = mapped_column(Key)
    owed: Mapped[bool] = mapped_column(default=False, server_default=false())


class AuditEvent(Base):
    """Who did what to which thing of ours. `detail` holds codes and ids of ours, nothing of a record.

    The events are a chain: `digest` covers everything of an event but `subject_id` and `salt`, and `previous`, the
    digest of the one before it. An erasure empties those two, and the chain holds: whom the event was about is in it
    as `subject_digest` alone, a hash that nobody can trace back without the salt.
    """

    __tablename__ = "audit_event"
    __table_args__ = (one_of("actor", ACTORS), Index("ix_audit_event_subject", "subject_kind", "subject_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    actor: Mapped[Actor] = mapped_column(Word)
    action: Mapped[str] = mapped_column(Slug)
    subject_kind: Mapped[str] = mapped_column(Slug)
    subject_id: Mapped[str | None] = mapped_column(Slug)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    salt: Mapped[str | None] = mapped_column(String(32))
    subject_digest: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
