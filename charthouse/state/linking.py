"""What linking keeps: consents, registrations, brands, sign-ins under way, ends of grants, removals, alarms, keys."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Any, Literal, get_args

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now, one_of
from charthouse.state.models import Slug, Word

ClientAuth = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
KeyPurpose = Literal["client_assertion", "service_token", "account_subject", "receipt", "identity_token"]

CLIENT_AUTHS: tuple[ClientAuth, ...] = get_args(ClientAuth)
KEY_PURPOSES: tuple[KeyPurpose, ...] = get_args(KeyPurpose)

Url = String(2048)


class Consent(Base):
    """What a person agreed to, and when they took it back. The row in force has no `withdrawn_at`."""

    __tablename__ = "consent"
    __table_args__ = (Index("ix_consent_person_key_kind", "person_key", "kind"),)

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Slug)
    version: Mapped[str] = mapped_column(Slug, default="1")
    given_at: Mapped[datetime] = mapped_column(default=now)
    withdrawn_at: Mapped[datetime | None]


class ClientRegistration(Base):
    """How a provider (or many of one vendor) knows us: client id, way to authenticate, sealed secret.

    `scopes` replaces what would be asked for. With `private_key_jwt` the keys are those of our published key set.
    """

    __tablename__ = "client_registration"
    __table_args__ = (one_of("auth", CLIENT_AUTHS),)

    slug: Mapped[str] = mapped_column(Slug, primary_key=True)
    client_id: Mapped[str] = mapped_column(Text)
    auth: Mapped[ClientAuth] = mapped_column(String(32), default="none")
    sealed_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    algorithm: Mapped[str | None] = mapped_column(Word)
    scopes: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class BrandBundle(Base):
    """A list of brands that was read (SMART User-access Brands): where from, and its ETag.

    `provider` is the slug of the provider whose own configuration links to it: of that one, it goes before other lists.
    """

    __tablename__ = "brand_bundle"

    source: Mapped[str] = mapped_column(Url, primary_key=True)
    etag: Mapped[str | None] = mapped_column(String(512))
    updated: Mapped[str | None] = mapped_column(String(64))
    read_at: Mapped[datetime] = mapped_column(default=now)
    provider: Mapped[str | None] = mapped_column(Slug)


class Brand(Base):
    """Whom people know as their provider: a name, other names, places. `search_text` is what a search looks in.

    `identifier` is the https URL without `www.` and path that brands of several publishers share.
    """

    __tablename__ = "brand"

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    source: Mapped[str] = mapped_column(ForeignKey("brand_bundle.source", ondelete="CASCADE"), index=True)
    reference: Mapped[str] = mapped_column(Url)
    identifier: Mapped[str | None] = mapped_column(String(512), index=True)
    name: Mapped[str]
    aliases: Mapped[list[Any]] = mapped_column(JSON, default=list)
    categories: Mapped[list[Any]] = mapped_column(JSON, default=list)
    places: Mapped[list[Any]] = mapped_column(JSON, default=list)
    website: Mapped[str | None] = mapped_column(Url)
    parent: Mapped[str | None] = mapped_column(Url)
    search_text: Mapped[str] = mapped_column(Text, default="")


class BrandEndpoint(Base):
    """One way from a brand, through one of its portals, to a provider's endpoint; all three are n:m."""

    __tablename__ = "brand_endpoint"
    __table_args__ = (UniqueConstraint("brand_id", "portal_name", "provider"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    brand_id: Mapped[str] = mapped_column(ForeignKey("brand.id", ondelete="CASCADE"))
    provider: Mapped[str] = mapped_column(ForeignKey("provider.slug", ondelete="CASCADE"), index=True)
    portal_name: Mapped[str] = mapped_column(default="")
    portal_url: Mapped[str | None] = mapped_column(Url)


class SignIn(Base):
    """A sign-in under way. Found by a hash of its `state`, bound to a browser, used once.

    `sealed_secrets` holds what the return must match: code verifier and nonce. `outcome` is empty until it ends; then
    `done`, or the number of the error.
    """

    __tablename__ = "sign_in"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), index=True)
    browser_hash: Mapped[str | None] = mapped_column(String(64))
    sealed_secrets: Mapped[bytes | None] = mapped_column(LargeBinary)
    issuer: Mapped[str | None] = mapped_column(Url)
    redirect_uri: Mapped[str] = mapped_column(Url)
    return_to: Mapped[str | None] = mapped_column(Url)
    scope: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(Word, default="")


class GrantEnd(Base):
    """The age at which a grant of a provider really ended. What a provider's links may expect is learnt from these."""

    __tablename__ = "grant_end"
    __table_args__ = (Index("ix_grant_end_provider_at", "provider", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(ForeignKey("provider.slug", ondelete="CASCADE"))
    age_seconds: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=now)


class Removal(Base):
    """Data that has to go before its person may start over. Worked off by the hourly DAG; open until `done_at`."""

    __tablename__ = "removal"

    id: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str] = mapped_column(ForeignKey("person.person_key", ondelete="CASCADE"), index=True)
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"))
    reason: Mapped[str] = mapped_column(String(64))
    asked_at: Mapped[datetime] = mapped_column(default=now)
    done_at: Mapped[datetime | None]


class OperatorAlarm(Base):
    """Something that only an operator can mend. Open until `closed_at`; one open alarm a code and subject."""

    __tablename__ = "operator_alarm"
    __table_args__ = (Index("ix_operator_alarm_code_subject", "code", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(5))
    subject: Mapped[str] = mapped_column(Slug)
    count: Mapped[int] = mapped_column(default=1)
    opened_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime] = mapped_column(default=now)
    closed_at: Mapped[datetime | None]


class SigningKey(Base):
    """A key pair of ours, sealed. Its public half is published until `ends_at`; the newest one that has begun signs.

    The key of `account_subject` has no public half and never changes: it hashes the back end's ids of accounts.
    """

    __tablename__ = "signing_key"
    __table_args__ = (one_of("purpose", KEY_PURPOSES),)

    kid: Mapped[str] = mapped_column(Slug, primary_key=True)
    purpose: Mapped[KeyPurpose] = mapped_column(String(32))
    algorithm: Mapped[str] = mapped_column(Word)
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary)
    public: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=now)
    begins_at: Mapped[datetime] = mapped_column(default=now)
    ends_at: Mapped[datetime | None]
