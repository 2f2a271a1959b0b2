"""What FHIR servers say of themselves, and what was found out about them by asking."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Any

from sqlalchemy import JSON, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, now


class FhirServer(Base):
    """The `/metadata` of a FHIR base as it was read last: its ETag, if any, and the body, as gzip.

    `learnt` holds what asking has shown (`charthouse.partners.knowledge.Learnt`); it is good for statements of this
    `digest` alone, and forgotten when the server offers something else.
    """

    __tablename__ = "fhir_server"

    base: Mapped[str] = mapped_column(String(2048), primary_key=True)
    etag: Mapped[str | None] = mapped_column(String(512))
    statement: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    learnt: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    read_at: Mapped[datetime] = mapped_column(default=now)
