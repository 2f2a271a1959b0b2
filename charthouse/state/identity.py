"""What is kept while somebody proves who they are: how the verifier is reached, its sessions, its messages.

What came of a session is in `identity_verification` (`charthouse.state.network`). Nothing that decided it is kept.
"""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations

from sqlalchemy import Double, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now
from charthouse.state.models import Slug, Word
from charthouse.state.network import Said, Url


class IdentityVerifier(Base):
    """How a verifier is reached, and how it knows us. Secrets are sealed.

    `page_url` is where people are sent; `level` is the assurance that its project reaches. While
    `sealed_old_webhook_secret` has not ended, both sign.
    """

    __tablename__ = "identity_verifier"

    verifier: Mapped[str] = mapped_column(Slug, primary_key=True)
    api_url: Mapped[str] = mapped_column(Url)
    page_url: Mapped[str] = mapped_column(Url)
    project_id: Mapped[str] = mapped_column(String(255))
    level: Mapped[str] = mapped_column(Word)
    sealed_key: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_webhook_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    sealed_old_webhook_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_webhook_secret_ends_at: Mapped[datetime | None]
    requests_per_second: Mapped[float] = mapped_column(Double, default=10.0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class IdentitySession(Base):
    """One session with a verifier. `state_hash` finds it when its person's browser comes back.

    `said` is the verifier's own word for where it stands, `code` our number of why it failed. `sealed_address` is where
    its person goes, until it is over. `subject_digest` is a keyed hash of who the verifier says it was: two accounts
    with the same one are one person. `next_look_at` is when the verifier is asked again; never, where it is empty.
    """

    __tablename__ = "identity_session"
    __table_args__ = (
        UniqueConstraint("verifier", "session_id"),
        Index("ix_identity_session_person_key", "person_key"),
        Index("ix_identity_session_next_look_at", "next_look_at"),
        Index("ix_identity_session_subject_digest", "subject_digest"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"))
    verifier: Mapped[str] = mapped_column(Slug)
    session_id: Mapped[str] = mapped_column(String(255))
    state_hash: Mapped[str] = mapped_column(String(64), unique=True)
    sealed_address: Mapped[bytes | None] = mapped_column(LargeBinary)
    return_to: Mapped[str | None] = mapped_column(Url)
    subject_digest: Mapped[str | None] = mapped_column(String(64))
    said: Mapped[str] = mapped_column(Said, default="")
    code: Mapped[str | None] = mapped_column(String(5))
    looks: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    next_look_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class IdentityMessage(Base):
    """A message of a verifier that was taken, by a digest of its id: it counts once, however often it comes."""

    __tablename__ = "identity_message"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    verifier: Mapped[str] = mapped_column(Slug)
    event: Mapped[str] = mapped_column(Said, default="")
    received_at: Mapped[datetime] = mapped_column(default=now, index=True)
