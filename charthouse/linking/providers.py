"""Providers: who holds the records, at which FHIR endpoint, and which partner connects us to a region.

A provider is closed (`active` is false: nobody starts a link, nights leave it out) or retired (its links have ended).
Tokens are sent to its FHIR base, so every change of one is in the audit trail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import func, or_, select

from charthouse.errors import LinkError, StateError
from charthouse.linking import alarms
from charthouse.linking.regions import ensure_partner
from charthouse.linking.states import TRANSITIONS, Transition
from charthouse.partners.addresses import origin
from charthouse.state import audit
from charthouse.state.base import now
from charthouse.state.linking import ClientRegistration
from charthouse.state.models import Credential, Link, Partner, Provider

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor, Status

LONGEST_NAME = 200
LONGEST_URL = 2_000
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_REGION = re.compile(r"[A-Z]{2}")


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
    registration: str | None = None
    portal_url: str | None = None
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """How many links of a retired provider were disconnected, and how many could not be."""

    disconnected: int
    left: int


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

    Raises:
        StateError: CH602 for an unknown partner, CH607 for a slug or an address that cannot be used.
    """
    if not _SLUG.fullmatch(slug):
        raise StateError("CH607", where="slug", what="it is 1 to 64 lower-case letters, digits and inner hyphens")
    base = _base_url(fhir_base_url, slug)
    _partner(session, partner)
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


def add_provider(
    session: Session,
    *,
    slug: str,
    name: str,
    fhir_base_url: str,
    region: str = "US",
    partner: str | None = None,
    registration: str | None = None,
    portal_url: str | None = None,
    page_origins: str | None = None,
    active: bool = True,
    actor: Actor = "operator",
) -> Provider:
    """A provider that is not known yet.

    Raises:
        LinkError: CH623 when the slug, or the FHIR base, is another provider's; CH620 for an unknown registration.
        StateError: CH602, CH607 as `register_provider`.
    """
    if session.get(Provider, slug) is not None:
        raise LinkError("CH623", where=f"provider {slug}")
    same = provider_at(session, fhir_base_url)
    if same is not None:
        raise LinkError("CH623", where=f"provider {same.slug}", what="it has that address")
    register_provider(
        session,
        slug=slug,
        name=_name(name, slug),
        fhir_base_url=fhir_base_url,
        region=check_region(region),
        partner=partner,
        active=active,
        actor=actor,
    )
    return edit_provider(
        session, slug, registration=registration, portal_url=portal_url, page_origins=page_origins, actor=actor
    )


def edit_provider(
    session: Session,
    slug: str,
    *,
    name: str | None = None,
    fhir_base_url: str | None = None,
    region: str | None = None,
    partner: str | None = None,
    registration: str | None = None,
    portal_url: str | None = None,
    page_origins: str | None = None,
    active: bool | None = None,
    with_links: bool = False,
    actor: Actor = "operator",
) -> Provider:
    """Change what is given; what is None stays, and an empty text takes a partner, registration or portal away.

    To open (`active`) a retired provider brings it back: people sign in again.

    Raises:
        StateError: CH602 for an unknown provider or partner, CH607 for a value that cannot be used.
        LinkError: CH620 for an unknown registration; CH622 for a FHIR base on another server while links hold tokens,
            unless `with_links`; CH623 for one that is another provider's.
    """
    provider = get_provider(session, slug, lock=True)
    changes: dict[str, object] = {}
    if name is not None:
        changes["name"] = _name(name, slug)
    if region is not None:
        changes["region"] = check_region(region)
    if partner is not None:
        _partner(session, partner or None)
        changes["partner"] = partner or None
    if registration is not None:
        if registration and session.get(ClientRegistration, registration) is None:
            raise LinkError("CH620", where=f"registration {registration}")
        changes["registration"] = registration or None
    if portal_url is not None:
        changes["portal_url"] = _web_address(portal_url, slug) if portal_url else None
    if page_origins is not None:
        changes["page_origins"] = _page_origins(page_origins, slug)
    if active is not None:
        changes["active"] = active
        if active:
            changes["retired_at"] = None
    if fhir_base_url is not None:
        changes["fhir_base_url"] = _moved(session, provider, _base_url(fhir_base_url, slug), with_links=with_links)
    changed = {field: value for field, value in changes.items() if getattr(provider, field) != value}
    if "fhir_base_url" in changed:
        before, after = provider.fhir_base_url, str(changed["fhir_base_url"])
        audit.record(session, actor, "provider.endpoint_changed", "provider", slug, {"before": before, "after": after})
    for field, value in changed.items():
        setattr(provider, field, value)
    if others := ",".join(sorted(changed.keys() - {"fhir_base_url"})):
        audit.record(session, actor, "provider.changed", "provider", slug, {"fields": others})
    session.flush()
    return provider


def _page_origins(said: str, slug: str) -> str | None:
    """Origins by commas, each as `https://host:port`.

    Raises:
        StateError: CH607 for what is none, or has more than an origin.
    """
    words = [word.strip().rstrip("/") for word in said.split(",") if word.strip()]
    for word in words:
        if origin(word) is None or urlsplit(word).path or urlsplit(word).query:
            raise StateError("CH607", where=f"page origins of provider {slug}", what="an origin is https://host:port")
    return ",".join(words) or None


def retire_provider(session: Session, slug: str, *, actor: Actor = "operator") -> Retired:
    """Take a provider out of service: nobody links it any more, and its links are disconnected. Safe to repeat.

    What was read stays the person's, as it does when they disconnect.

    Raises:
        StateError: CH602 when there is no such provider.
    """
    from charthouse.linking import links  # it stands above this module: links know providers

    provider = get_provider(session, slug, lock=True)
    if provider.retired_at is None:
        provider.retired_at, provider.active = now(), False
        audit.record(session, actor, "provider.retired", "provider", slug)
    over: tuple[Status, ...] = ("disconnected", "deleted")
    live = session.execute(
        select(Link.id, Link.status).where(Link.provider == slug, Link.status.not_in(over)).order_by(Link.id)
    ).all()
    moved = 0
    for link_id, status in live:
        if Transition(status, "disconnected", "provider_retired") in TRANSITIONS:
            links.transition(session, link_id, "disconnected", "provider_retired", actor)
            moved += 1
    session.flush()
    _close_alarms(session, provider)
    return Retired(moved, len(live) - moved)


def _close_alarms(session: Session, provider: Provider) -> None:
    """Close the alarms of a provider that is asked no more: no answer of its would ever do so."""
    subject = provider.registration or provider.slug
    shared = select(Provider.slug).where(
        Provider.registration == subject, Provider.active, Provider.slug != provider.slug
    )
    if session.scalar(shared.limit(1)) is None:
        for code in ("CH646", "CH647"):
            alarms.close_alarm(session, code, subject)


def provider_at(session: Session, fhir_base_url: str) -> Provider | None:
    """The provider at a FHIR base, however its address is written; None where there is none."""
    key = address_key(fhir_base_url)
    found = Provider.slug.startswith(Provider.partner + "-")  # those that a partner found all stand at its base
    own = select(Provider.slug, Provider.fhir_base_url).where(or_(Provider.partner.is_(None), ~found))
    rows = session.execute(own.order_by(Provider.slug))
    slug = next((slug for slug, base in rows if address_key(base) == key), None)
    return None if slug is None else session.get(Provider, slug)


def check_region(region: str) -> str:
    """A region's code, as it is.

    Raises:
        StateError: CH607 when it is none.
    """
    if not _REGION.fullmatch(region):
        raise StateError("CH607", where="region", what="it is two capital letters, like US")
    return region


def address_key(url: str) -> str:
    """An address as it is compared: without case, trailing slashes and a port that goes without saying.

    Servers differ in whether they mind the case of a path; no two endpoints were found that differ in it alone.
    """
    home = origin(url.strip())
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        home = None
    if home is None:
        return url.strip().rstrip("/").lower()
    return f"{home[0]}://{home[1]}:{home[2]}{parts.path.rstrip('/').lower()}"


def get_provider(session: Session, slug: str, *, lock: bool = False) -> Provider:
    """A provider by its slug; with `lock`, held until the transaction ends.

    Raises:
        StateError: CH602 when there is none.
    """
    provider = session.get(Provider, slug, with_for_update=True if lock else None)
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
            registration=provider.registration,
            portal_url=provider.portal_url,
            retired_at=provider.retired_at,
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
    try:
        parts = urlsplit(given)
    except ValueError:
        raise StateError("CH607", where=f"provider {slug}", what="its FHIR base is no address") from None
    if not given.isprintable() or " " in given or len(given) > LONGEST_URL or origin(given) is None:
        raise StateError("CH607", where=f"provider {slug}", what="its FHIR base is no address")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise StateError("CH607", where=f"provider {slug}", what="its FHIR base is an http(s) address without a query")
    if parts.username or parts.password:
        raise StateError("CH607", where=f"provider {slug}", what="its FHIR base carries a login")
    return given.rstrip("/")


def _moved(session: Session, provider: Provider, base: str, *, with_links: bool) -> str:
    """The new FHIR base, if tokens may be sent there."""
    same = provider_at(session, base)
    if same is not None and same.slug != provider.slug:
        raise LinkError("CH623", where=f"provider {same.slug}", what="it has that address")
    if origin(base) != origin(provider.fhir_base_url) and not with_links:
        held = (
            select(Credential.link_id).join(Link, Link.id == Credential.link_id).where(Link.provider == provider.slug)
        )
        if session.scalar(held.limit(1)) is not None:
            raise LinkError("CH622", where=f"provider {provider.slug}")
    return base


def _partner(session: Session, partner: str | None) -> None:
    if partner is None:
        return
    ensure_partner(session, partner)
    if session.get(Partner, partner) is None:
        raise StateError("CH602", where=f"partner {partner}")


def _name(given: str, slug: str) -> str:
    name = given.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise StateError("CH607", where=f"provider {slug}", what=f"its name has 1 to {LONGEST_NAME} printable signs")
    return name


def _web_address(given: str, slug: str) -> str:
    if origin(given) is None or not given.isprintable() or " " in given or len(given) > LONGEST_URL:
        raise StateError("CH607", where=f"provider {slug}", what="its portal is an http(s) address")
    return given
