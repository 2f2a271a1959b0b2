"""How a provider's records are had by Bulk Data export: what an operator sets, and what a night needs of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from charthouse.errors import FetchError, LinkError
from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import open_registration
from charthouse.partners.addresses import origin
from charthouse.state import audit
from charthouse.state.bulk import BulkSource
from charthouse.state.linking import ClientRegistration

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.partners.client import Client
    from charthouse.settings import Settings

PATIENTS: Final = "Patient"
SYSTEM: Final = ""
_GROUP: Final = re.compile(r"Group/[^/?#\s]{1,255}")


@dataclass(frozen=True, slots=True)
class BulkSourceView:
    """How a provider exports, as an operator sees it."""

    provider: str
    level: str
    base_url: str
    registration: str | None
    file_origin: str | None
    partial_manifests: bool
    from_links: int


@dataclass(frozen=True, slots=True)
class Export:
    """What a night needs to export from a provider. `client` None: the server is open."""

    provider: str
    base_url: str
    fhir_base_url: str
    level: str
    client: Client | None
    scope: str | None
    file_origin: str | None
    partial_manifests: bool


def group_level(group: str) -> str:
    """The level of a group's export; its id may be given as `Group/<id>`."""
    return group.strip() if group.strip().startswith("Group/") else f"Group/{group.strip()}"


def set_bulk_source(
    session: Session,
    slug: str,
    *,
    level: str,
    base_url: str | None = None,
    registration: str | None = None,
    file_origin: str | None = None,
    partial_manifests: bool = False,
    from_links: int = 1,
) -> BulkSource:
    """Let a provider be exported, in place of what was set before.

    Raises:
        StateError: CH602 for an unknown provider.
        LinkError: CH620 for an unknown registration.
        FetchError: CH162 for a level, an address or a number that cannot be used.
    """
    get_provider(session, slug, lock=True)
    if level not in (PATIENTS, SYSTEM) and not _GROUP.fullmatch(level):
        raise _unfit(slug, "a group's id has no spaces and no slashes")
    for what, address in (("base", base_url), ("file origin", file_origin)):
        if address is not None and (origin(address) is None or not address.isprintable() or " " in address):
            raise _unfit(slug, f"its {what} is no http(s) address")
    if from_links < 1:
        raise _unfit(slug, "an export is worth it from one link on, or more")
    if registration is not None and session.get(ClientRegistration, registration) is None:
        raise LinkError("CH620", where=f"registration {registration}")
    source = session.get(BulkSource, slug) or BulkSource(provider=slug)
    source.level, source.base_url = level, base_url.rstrip("/") if base_url else None
    source.registration, source.file_origin = registration, file_origin
    source.partial_manifests, source.from_links = partial_manifests, from_links
    session.add(source)
    audit.record(session, "operator", "provider.bulk_set", "provider", slug, {"base_url": source.base_url or ""})
    session.flush()
    return source


def clear_bulk_source(session: Session, slug: str) -> bool:
    """Let a provider be searched again. Returns whether it had been exported."""
    get_provider(session, slug)
    gone = session.execute(delete(BulkSource).where(BulkSource.provider == slug).returning(BulkSource.provider)).all()
    if gone:
        audit.record(session, "operator", "provider.bulk_cleared", "provider", slug)
    return bool(gone)


def bulk_source(session: Session, slug: str) -> BulkSourceView | None:
    """How a provider exports; None where it is searched."""
    source = session.get(BulkSource, slug)
    if source is None:
        return None
    return BulkSourceView(
        provider=slug,
        level=source.level,
        base_url=source.base_url or get_provider(session, slug).fhir_base_url,
        registration=source.registration,
        file_origin=source.file_origin,
        partial_manifests=source.partial_manifests,
        from_links=source.from_links,
    )


def worth_from(session: Session) -> dict[str, int]:
    """From how many due links on each provider that can export is exported, by its slug."""
    return {row[0]: row[1] for row in session.execute(select(BulkSource.provider, BulkSource.from_links))}


def export_of(session: Session, slug: str, settings: Settings | None = None) -> Export | None:
    """What it takes to export from a provider, opened; None where it is searched.

    Raises:
        LinkError: CH620 when its registration is gone.
        SetupError: CH006 when the key does not open its secret.
    """
    source = session.get(BulkSource, slug)
    if source is None:
        return None
    provider = get_provider(session, slug)
    client, scope = None, None
    if source.registration is not None:
        client, scope = open_registration(session, source.registration, settings)
    return Export(
        provider=slug,
        base_url=source.base_url or provider.fhir_base_url,
        fhir_base_url=provider.fhir_base_url,
        level=source.level,
        client=client,
        scope=scope,
        file_origin=source.file_origin,
        partial_manifests=source.partial_manifests,
    )


def _unfit(slug: str, what: str) -> FetchError:
    return FetchError("CH162", where=f"provider {slug}", what=what)
