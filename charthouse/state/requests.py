"""What the REST API remembers of requests: answers to idempotent ones, and the use that is counted against limits."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, now


class IdempotentRequest(Base):
    """The answer to a POST that named an `Idempotency-Key`, sealed: it may hold an address to sign in at.

    `key_hash` is a hash of the key, the caller and the path; `request_hash` one of the body. `status` is empty while
    the first request is at work. `person_key` is the person whom the request was about, where the path says so.
    """

    __tablename__ = "idempotent_request"

    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    sealed_answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    person_key: Mapped[str | None] = mapped_column(Key, index=True)
