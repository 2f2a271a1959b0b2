"""What is kept of Bulk Data exports: how a provider exports, jobs at its server, and what it says is gone."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Literal, get_args

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of
from charthouse.state.models import Slug, Word

JobStatus = Literal["begun", "done", "failed", "left"]
GoneReason = Literal["deleted", "not_found", "not_served"]
JOB_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)


class BulkSource(Base):
    """How a provider's records are had by export. A provider without one is searched.

    `level` is `Patient`, `Group/<id>`, or empty for the whole system. `base_url` empty: the provider's own FHIR base.
    `registration` is that of our system client (no foreign key, as in `provider`); empty: the server is open.
    `file_origin` is another origin that may have our token, for files. With `partial_manifests` pages are asked for.
    An export is worth it from `from_links` due links on; with fewer the provider is searched.
    """

    __tablename__ = "bulk_source"

    provider: Mapped[str] = mapped_column(ForeignKey("provider.slug", ondelete="CASCADE"), primary_key=True)
    level: Mapped[str] = mapped_column(String(512))
    base_url: Mapped[str | None] = mapped_column(String(2048))
    registration: Mapped[str | None] = mapped_column(Slug)
    file_origin: Mapped[str | None] = mapped_column(String(512))
    partial_manifests: Mapped[bool] = mapped_column(default=False)
    from_links: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=now)


class BulkJob(Base):
    """An export that a server has taken on. The status address may be all that it takes to see it, so it is sealed.

    `types` and `since` are what was asked, as text; `batch` is whose night it works for. `next_poll_at` is when the
    server may be asked again; `polls` and `stumbles` (in a row) count the looks. `status`: `begun` until its files are
    read (`done`), it `failed`, or it was `left` because nobody wants it any more. `code` is what went wrong.
    """

    __tablename__ = "bulk_job"
    __table_args__ = (one_of("status", JOB_STATUSES), Index("ix_bulk_job_provider_status", "provider", "status"))

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    provider: Mapped[str] = mapped_column(ForeignKey("provider.slug", ondelete="CASCADE"))
    batch: Mapped[str]
    level: Mapped[str] = mapped_column(String(512))
    types: Mapped[str] = mapped_column(Text, default="")
    since: Mapped[str | None] = mapped_column(String(64))
    sealed_status_url: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[JobStatus] = mapped_column(Word, default="begun")
    code: Mapped[str | None] = mapped_column(String(5))
    begun_at: Mapped[datetime] = mapped_column(default=now)
    next_poll_at: Mapped[datetime] = mapped_column(default=now)
    polls: Mapped[int] = mapped_column(default=0)
    stumbles: Mapped[int] = mapped_column(default=0)
    percent: Mapped[int | None]
    transaction_time: Mapped[str | None] = mapped_column(String(64))
    files: Mapped[int | None]
    lines: Mapped[int | None]
    left_out: Mapped[int | None]
    ended_at: Mapped[datetime | None]


class GoneResource(Base):
    """A resource of a link that its provider serves no longer. It stays in the vault; `at` is since when we know.

    `reason`: the provider says that it is `deleted`; it was `not_found` when it was read by itself; it was `not_served`
    where everything of its kind was asked for, and all of that came.

    The row goes again when the provider serves the resource again.
    """

    __tablename__ = "gone_resource"

    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    resource_type: Mapped[str] = mapped_column(Slug, primary_key=True)
    resource_id: Mapped[str] = mapped_column(String(512), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(36))
    at: Mapped[datetime] = mapped_column(default=now)
    reason: Mapped[GoneReason] = mapped_column(Word, default="deleted", server_default="deleted")
