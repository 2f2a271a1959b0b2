"""The transactional outbox and what delivery needs: contacts, preferences, notices, deliveries, webhook secrets.

A notice is written in the transaction of what it tells. `dedupe_key` is unique: however often a task is retried, a
transition makes one notice.
"""

from __future__ import annotations

from datetime import datetime, time  # SQLAlchemy reads the annotations
from typing import Any, Literal, get_args

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Time, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of
from charthouse.state.models import Slug, Word

NoticeKind = Literal[
    "confirmed",
    "not_confirmed",
    "expiring",
    "expired",
    "reconnected",
    "disconnected",
    "provider_found",
    "export_ready",
    "erased",
    "action_needed",
]
Channel = Literal["email", "push", "apprise"]
DeliveryStatus = Literal["waiting", "sending", "sent", "undeliverable", "suppressed"]
Digest = Literal["none", "daily"]
SecretPurpose = Literal["webhook", "unsubscribe"]

NOTICE_KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)
CHANNELS: tuple[Channel, ...] = get_args(Channel)
DELIVERY_STATUSES: tuple[DeliveryStatus, ...] = get_args(DeliveryStatus)
DIGESTS: tuple[Digest, ...] = get_args(Digest)
SECRET_PURPOSES: tuple[SecretPurpose, ...] = get_args(SecretPurpose)


class Contact(Base):
    """Where a person is told things: a mail address (`email`), an Apprise URL (`apprise`), the app (`push`), sealed."""

    __tablename__ = "contact"
    __table_args__ = (one_of("channel", CHANNELS),)

    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[Channel] = mapped_column(Word, primary_key=True)
    sealed_address: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Preference(Base):
    """How a person wants to be told: language, time zone, quiet hours (local), digest, names in push texts."""

    __tablename__ = "preference"
    __table_args__ = (one_of("digest", DIGESTS),)

    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(Word, default="en")
    time_zone: Mapped[str] = mapped_column(Slug, default="UTC")
    quiet_from: Mapped[time | None] = mapped_column(Time)
    quiet_until: Mapped[time | None] = mapped_column(Time)
    digest: Mapped[Digest] = mapped_column(Word, default="none")
    provider_in_push: Mapped[bool] = mapped_column(default=False, server_default=false())


class Unsubscription(Base):
    """A kind of notice that a person does not want on a channel."""

    __tablename__ = "unsubscription"
    __table_args__ = (one_of("channel", CHANNELS), one_of("kind", NOTICE_KINDS))

    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[Channel] = mapped_column(Word, primary_key=True)
    kind: Mapped[NoticeKind] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)


class Notice(Base):
    """One thing to tell one person. `detail` holds codes and slugs of ours, nothing of a person or a record."""

    __tablename__ = "notice"
    __table_args__ = (
        one_of("kind", NOTICE_KINDS),
        UniqueConstraint("dedupe_key"),
        Index("ix_notice_person_key_created_at", "person_key", "created_at"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    dedupe_key: Mapped[str]
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"))
    link_id: Mapped[str | None] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), index=True)
    kind: Mapped[NoticeKind] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(64), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    planned_at: Mapped[datetime | None] = mapped_column(index=True)


class Delivery(Base):
    """A notice on its way by one channel. `lease_until` keeps two drains from sending it at once."""

    __tablename__ = "delivery"
    __table_args__ = (
        one_of("channel", CHANNELS),
        one_of("status", DELIVERY_STATUSES),
        UniqueConstraint("notice_id", "channel"),
        Index("ix_delivery_status_next_try_at", "status", "next_try_at"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    notice_id: Mapped[str] = mapped_column(ForeignKey("notice.id", ondelete="CASCADE"))
    channel: Mapped[Channel] = mapped_column(Word)
    status: Mapped[DeliveryStatus] = mapped_column(Word, default="waiting")
    next_try_at: Mapped[datetime] = mapped_column(default=now)
    lease_until: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    code: Mapped[str | None] = mapped_column(String(5))
    sent_at: Mapped[datetime | None]


class WebhookSecret(Base):
    """A secret that signs what the app's push service gets; two are in force while one replaces the other.

    One row of the purpose `unsubscribe` signs the links by which people leave, for ever: mails are kept for years.
    """

    __tablename__ = "webhook_secret"
    __table_args__ = (one_of("purpose", SECRET_PURPOSES),)

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    purpose: Mapped[SecretPurpose] = mapped_column(Word, default="webhook")
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now)
    ends_at: Mapped[datetime | None]
