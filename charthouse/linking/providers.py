"""Providers: who holds the records, at which FHIR endpoint, and which partner connects us to a region."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import func, select

from charthouse.errors import StateError
from charthouse.state import audit
from charthouse.state.models import Link, Partner, Provider

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A provider as an operator sees it, with the number of its links that are not deleted."""

    slug: str
    name: str
    region: str
    fhir_base_url: str
    partner: str | None
    active: bool
    links: int


def register_provider(
    session: Session,
    *,
    slug: str,
    name: str,
    fhir_base_url: str,
    region: str = "US",
    partner: str | None = None,
    active: bool = True,
    actor: Actor = "operator",
) -> Provider:
    """Make a provider known, or bring the one of that slug up to date. Safe to repeat.

    Tokens are sent to `fhir_base_url`, so its coming and every change of it is in the audit trail.

    Raises:
        StateError: CH602 for an unknown partner, CH607 for a slug or an address that cannot be used.
    """
    if not _SLUG.fullmatch(slug):
        raise StateError("CH607", where="slug", what="it is 1 to 64 lower-case letters, digits and inner hyphens")
    base = _base_url(fhir_base_url, slug)
    if partner is not None and session.get(Partner, partner) is None:
        raise StateError("CH602", where=f"partner {partner}")
    provider = session.get(Provider, slug, with_for_update=True)
    if provider is None:
        provider = Provider(slug=slug)
        session.add(provider)
        audit.record(session, actor, "provider.registered", "provider", slug, {"fhir_base_url": base})
    elif provider.fhir_base_url != base:
        change = {"before": provider.fhir_base_url, "after": base}
        audit.record(session, actor, "provider.endpoint_changed", "provider", slug, change)
    provider.name, provider.region, provider.fhir_base_url = name, region, base
    provider.partner, provider.active = partner, active
    session.flush()
    return provider


def get_provider(session: Session, slug: str) -> Provider:
    """A provider by its slug.

    Raises:
        StateError: CH602 when there is none.
    """
    provider = session.get(Provider, slug)
    if provider is None:
        raise StateError("CH602", where=f"provider {slug}")
    return provider


def list_providers(session: Session) -> list[ProviderView]:
    """Every provider, by slug."""
    links = select(func.count()).where(Link.provider == Provider.slug, Link.status != "deleted").scalar_subquery()
    query = select(Provider, links).order_by(Provider.slug)
    return [
        ProviderView(
            slug=provider.slug,
            name=provider.name,
            region=provider.region,
            fhir_base_url=provider.fhir_base_url,
            partner=provider.partner,
            active=provider.active,
            links=count,
        )
        for provider, count in session.execute(query)
    ]


def register_partner(session: Session, *, slug: str, name: str, region: str | None) -> Partner:
    """Make a partner known, or bring the one of that slug up to date."""
    if not _SLUG.fullmatch(slug):
        raise StateError("CH607", where="slug", what="it is 1 to 64 lower-case letters, digits and inner hyphens")
    partner = session.merge(Partner(slug=slug, name=name, region=region))
    session.flush()
    return partner


def partners_of(session: Session, region: str) -> list[Partner]:
    """The partners that serve a region (ISO 3166-1 alpha-2), by slug."""
    return list(session.scalars(select(Partner).where(Partner.region == region).order_by(Partner.slug)))


def _base_url(given: str, slug: str) -> str:
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise StateError("CH607", where=f"provider {slug}", what="its FHIR base is an http(s) address without a query")
    if parts.username or parts.password:
        raise StateError("CH607", where=f"provider {slug}", what="its FHIR base carries a login")
    return given.rstrip("/")
