"""Documents that records show and that were not to be had: so that nobody asks for them every night."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, now


class MissingDocument(Base):
    """A Binary that a link's records point at: its server had none of that id, or a larger one than is permitted.

    It is asked for again after `CHARTHOUSE_WHOLE_DAYS`, and the row goes then.
    """

    __tablename__ = "missing_document"

    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    resource_id: Mapped[str] = mapped_column(String(512), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now)
