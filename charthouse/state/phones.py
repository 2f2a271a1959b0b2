"""Phones that upload what Health Connect holds: which account they are of, their data sources, uploads under way."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Any, Literal, get_args

from sqlalchemy import JSON, Double, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of
from charthouse.state.models import Word

UploadMode = Literal["full", "changes"]
UploadStatus = Literal["open", "received", "accepted", "refused", "stored"]
UPLOAD_MODES: tuple[UploadMode, ...] = get_args(UploadMode)
UPLOAD_STATUSES: tuple[UploadStatus, ...] = get_args(UploadStatus)


class PhoneDevice(Base):
    """The app on one phone. `id` is a random one that the app made for itself, no number of the hardware.

    `permissions` are the medical types that may be read, by blanks. `quota_left` bytes may be sent since `quota_at`;
    more come with time.
    """

    __tablename__ = "phone_device"

    id: Mapped[str] = mapped_column(Key, primary_key=True)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key"), index=True)
    permissions: Mapped[str] = mapped_column(Text, default="")
    connected_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    quota_left: Mapped[float] = mapped_column(Double)
    quota_at: Mapped[datetime] = mapped_column(default=now)


class PhoneSource(Base):
    """A data source of a phone (Android's MedicalDataSource), and the link that it became.

    `patient_ids` are those of the person's own Patients that were seen in it. `present` says whether the phone had it
    when it was asked last. `changes_token` is where the app goes on reading, in its own words.
    """

    __tablename__ = "phone_source"
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    device_id: Mapped[str] = mapped_column(Key, index=True)
    source_id: Mapped[str] = mapped_column(Key)
    package_name: Mapped[str] = mapped_column(String(255))
    fhir_base_uri: Mapped[str] = mapped_column(String(2000))
    display_name: Mapped[str] = mapped_column(String(90))
    fhir_version: Mapped[str] = mapped_column(Word)
    patient_ids: Mapped[list[str]] = mapped_column(JSON, default=list)
    present: Mapped[bool] = mapped_column(default=True)
    changes_token: Mapped[str | None] = mapped_column(Text)


class PhoneUpload(Base):
    """One reading of a data source on its way. Its bytes are in a file of its own, under the key `sealed_key`.

    `reading` is the app's own id of it. `types` are the medical types that were read, by blanks: whole (`full`), or
    what changed in them. `open` until the last byte came, then `received` until it is judged: `accepted`, or `refused`
    for `code`; `stored` once a night has taken it. `records` counts what was accepted by type, `left_out` what was not,
    by code.
    """

    __tablename__ = "phone_upload"
    __table_args__ = (
        UniqueConstraint("link_id", "reading"),
        one_of("mode", UPLOAD_MODES),
        one_of("status", UPLOAD_STATUSES),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), index=True)
    device_id: Mapped[str] = mapped_column(Key)
    reading: Mapped[str] = mapped_column(Key)
    mode: Mapped[UploadMode] = mapped_column(Word)
    types: Mapped[str] = mapped_column(Text)
    length: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    changes_token: Mapped[str | None] = mapped_column(Text)
    sealed_key: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[UploadStatus] = mapped_column(Word, default="open")
    code: Mapped[str | None] = mapped_column(String(5))
    records: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    left_out: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    begun_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now, index=True)
    received_at: Mapped[datetime | None]
