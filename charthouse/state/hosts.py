"""What all workers know of the hosts of providers: how they are paced, whether they fail. Nothing of a person."""

from __future__ import annotations

from sqlalchemy import Double, String, text
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base


def _instant() -> Mapped[float]:
    """Seconds since the epoch: steps of a fraction of a millisecond are added to it."""
    return mapped_column(Double, default=0.0, server_default=text("0"))


class Host(Base):
    """A host, `name:port`; the columns are those of `charthouse.partners.hosts.HostRecord`."""

    __tablename__ = "host"

    host: Mapped[str] = mapped_column(String(512), primary_key=True)
    free_at: Mapped[float] = _instant()
    closed_until: Mapped[float] = _instant()
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    failing_since: Mapped[float] = _instant()
    probe_at: Mapped[float] = _instant()
    page_size: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    page_size_at: Mapped[float] = _instant()
