"""What privacy keeps: requests of people, receipts of what was done, tombstones, and the files of exports.

None has a foreign key to a person: an erasure takes the person away and keeps its own account. What such a row holds of
somebody is emptied when the request is done.
"""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Any, Literal, get_args

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of
from charthouse.state.models import ACTORS, Actor, Slug, Word

RequestKind = Literal["export", "delete_link", "erase"]
RequestStatus = Literal["waiting", "running", "done", "cancelled", "failed"]
TombstoneKind = Literal["person", "link", "patient"]

REQUEST_KINDS: tuple[RequestKind, ...] = get_args(RequestKind)
REQUEST_STATUSES: tuple[RequestStatus, ...] = get_args(RequestStatus)
TOMBSTONE_KINDS: tuple[TombstoneKind, ...] = get_args(TombstoneKind)


class PrivacyRequest(Base):
    """Something that a person asked for, worked off at once or by a DAG. Open until `done_at`.

    `begins_at` is when the work may start (an erasure may have a time in which it can be cancelled), `due_at` when the
    law wants it done. `step` is how far the work has come, `code` the number of what went wrong last. `options` holds
    words of ours (categories, a date, slugs). `sealed_notes` is what a proof has to look for, while it is looked for.
    An erasure empties `person_key`, `link_id`, `options` and `sealed_notes` at its end.
    """

    __tablename__ = "privacy_request"
    __table_args__ = (
        one_of("kind", REQUEST_KINDS),
        one_of("status", REQUEST_STATUSES),
        one_of("actor", ACTORS),
        Index("ix_privacy_request_status_begins_at", "status", "begins_at"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    kind: Mapped[RequestKind] = mapped_column(Word)
    person_key: Mapped[str | None] = mapped_column(Key, index=True)
    link_id: Mapped[str | None] = mapped_column(Key)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    status: Mapped[RequestStatus] = mapped_column(Word, default="waiting")
    step: Mapped[str] = mapped_column(Slug, default="")
    actor: Mapped[Actor] = mapped_column(Word)
    asked_at: Mapped[datetime] = mapped_column(default=now)
    begins_at: Mapped[datetime] = mapped_column(default=now)
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    code: Mapped[str | None] = mapped_column(String(5))
    sealed_notes: Mapped[bytes | None] = mapped_column(LargeBinary)
    receipt_id: Mapped[str | None] = mapped_column(Key)


class Receipt(Base):
    """A signed account of what was done for somebody, without saying for whom. `document` is a JWS (compact)."""

    __tablename__ = "receipt"
    __table_args__ = (one_of("kind", REQUEST_KINDS),)

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    kind: Mapped[RequestKind] = mapped_column(Word)
    issued_at: Mapped[datetime] = mapped_column(default=now)
    document: Mapped[str] = mapped_column(Text)


class Tombstone(Base):
    """A keyed hash of a key of ours that was erased, so that a restored backup is known for what it brings back.

    That of a patient (of whom, and of what provider) knows what comes late by somebody else's link.
    """

    __tablename__ = "tombstone"
    __table_args__ = (one_of("kind", TOMBSTONE_KINDS),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[TombstoneKind] = mapped_column(Word)
    at: Mapped[datetime] = mapped_column(default=now)


class ExportPart(Base):
    """A file of a finished export, encrypted under a key of its own that goes with the row. `size` is the ZIP's."""

    __tablename__ = "export_part"
    __table_args__ = (UniqueConstraint("request_id", "number"),)

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    request_id: Mapped[str] = mapped_column(ForeignKey("privacy_request.id", ondelete="CASCADE"))
    number: Mapped[int]
    file: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    sealed_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Download(Base):
    """A link by which a part of an export may be taken away once, found by a hash of what is in it."""

    __tablename__ = "download"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    part_id: Mapped[str] = mapped_column(ForeignKey("export_part.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
