"""What is kept of partner networks: verified identities, how a partner is reached, people and what was found for them.

Of a verification only the outcome is kept, its time, its level and the session's id: no image, no document, no number.
"""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Literal, get_args

from sqlalchemy import Double, ForeignKey, Index, LargeBinary, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of
from charthouse.state.models import Slug, Word

VerificationOutcome = Literal["verified", "failed"]
SearchState = Literal["none", "ready", "running", "done", "failed", "refused", "unknown"]
FoundWay = Literal["connected", "sign_in"]

VERIFICATION_OUTCOMES: tuple[VerificationOutcome, ...] = get_args(VerificationOutcome)
SEARCH_STATES: tuple[SearchState, ...] = get_args(SearchState)
FOUND_WAYS: tuple[FoundWay, ...] = get_args(FoundWay)

Url = String(2048)
Said = String(64)
"""A word of the partner's, cut to this length."""


class IdentityVerification(Base):
    """One verification of who a person is, by whoever does that (`verifier`). A session is noted once.

    `level` is the assurance that was reached (`IAL2`); `reason` is the number or word of why it failed.
    It is `lapsed_at` when its account has become somebody else's: another name, or another birth date.
    """

    __tablename__ = "identity_verification"
    __table_args__ = (
        one_of("outcome", VERIFICATION_OUTCOMES),
        UniqueConstraint("verifier", "session_id"),
        Index("ix_identity_verification_person_key_verified_at", "person_key", "verified_at"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"))
    verifier: Mapped[str] = mapped_column(Slug)
    session_id: Mapped[str] = mapped_column(String(255))
    outcome: Mapped[VerificationOutcome] = mapped_column(Word)
    level: Mapped[str] = mapped_column(Word, default="")
    reason: Mapped[str] = mapped_column(String(64), default="")
    verified_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(default=now)
    lapsed_at: Mapped[datetime | None]


class NetworkAccount(Base):
    """How a partner network is reached, and how it knows us. Secrets are sealed.

    `users_url` is where whole people are deleted; empty: it is not told. `webhook_url` is our own address as the
    partner has it: messages are signed for it. While `sealed_old_webhook_secret` has not ended, both sign.
    """

    __tablename__ = "network_account"

    partner: Mapped[str] = mapped_column(ForeignKey("partner.slug", ondelete="CASCADE"), primary_key=True)
    api_url: Mapped[str] = mapped_column(Url)
    fhir_base_url: Mapped[str] = mapped_column(Url)
    users_url: Mapped[str | None] = mapped_column(Url)
    client_key: Mapped[str] = mapped_column(String(255))
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    webhook_url: Mapped[str | None] = mapped_column(Url)
    sealed_webhook_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    sealed_old_webhook_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_webhook_secret_ends_at: Mapped[datetime | None]
    requests_per_second: Mapped[float] = mapped_column(Double, default=10.0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class NetworkPerson(Base):
    """A person at a partner. `partner_person_id` is theirs there: a secret, like the patient of a link.

    `search_state` is ours, `search_said` the partner's own word; `search_begun_at` is of the search that runs or ran
    last. `next_look_at` is when the person's turn comes. `ending` tells that the partner has still to hear that the
    consent was taken back. `code` is what was in the way of the last look.
    """

    __tablename__ = "network_person"
    __table_args__ = (
        one_of("search_state", SEARCH_STATES),
        Index("ix_network_person_partner_next_look_at", "partner", "next_look_at"),
    )

    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"), primary_key=True)
    partner: Mapped[str] = mapped_column(ForeignKey("partner.slug"))
    partner_person_id: Mapped[str | None] = mapped_column(String(255), index=True)
    consented_at: Mapped[datetime | None]
    ending: Mapped[bool] = mapped_column(default=False, server_default=false())
    search_state: Mapped[SearchState] = mapped_column(Word, default="none")
    search_said: Mapped[str] = mapped_column(Said, default="")
    search_begun_at: Mapped[datetime | None]
    searched_at: Mapped[datetime | None]
    looked_at: Mapped[datetime | None]
    next_look_at: Mapped[datetime] = mapped_column(default=now)
    failures: Mapped[int] = mapped_column(default=0)
    code: Mapped[str | None] = mapped_column(String(5))
    created_at: Mapped[datetime] = mapped_column(default=now)


class FoundProvider(Base):
    """A provider that a search found for a person: one row for an organisation and a patient id there.

    `way`: it is `connected` by itself, or waits for a `sign_in`. `status_said`, `sync_said` and `errors_said` are the
    partner's own words on its two axes. `patient_id` is empty until the partner tells it. A row that the partner lists
    no more is `gone_at`, one that the person waved away `dismissed_at`; `asked_at` is when they last asked
    to sign in. `ending` tells that the partner has still to hear that it was disconnected.
    """

    __tablename__ = "found_provider"
    __table_args__ = (
        one_of("way", FOUND_WAYS),
        UniqueConstraint("person_key", "partner", "organization", "patient_id"),
        Index("ix_found_provider_link_id", "link_id"),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"))
    partner: Mapped[str] = mapped_column(ForeignKey("partner.slug"))
    organization: Mapped[str] = mapped_column(String(255))
    patient_id: Mapped[str] = mapped_column(String(255), default="")
    provider: Mapped[str] = mapped_column(ForeignKey("provider.slug"))
    link_id: Mapped[str | None] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"))
    way: Mapped[FoundWay] = mapped_column(Word)
    status_said: Mapped[str] = mapped_column(Said, default="")
    sync_said: Mapped[str] = mapped_column(Said, default="")
    errors_said: Mapped[str] = mapped_column(String(255), default="")
    found_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    told_at: Mapped[datetime | None]
    dismissed_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]
    ending: Mapped[bool] = mapped_column(default=False, server_default=false())


class NetworkMessage(Base):
    """A message of a partner that was taken, by a digest of its id: it counts once, however often it comes."""

    __tablename__ = "network_message"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    partner: Mapped[str] = mapped_column(ForeignKey("partner.slug", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(Said, default="")
    received_at: Mapped[datetime] = mapped_column(default=now, index=True)
