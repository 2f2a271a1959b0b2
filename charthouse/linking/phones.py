"""Phones: the app on one phone says what Health Connect lets it read; each data source becomes a link of its person.

A link of this route has the data source's id where others have the patient's: one person has several Patients at times,
and the same one by other routes. Health Connect holds the records of one person, so a phone is of one account.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.errors import LinkError, PhoneError, StateError
from charthouse.linking import consents, links, providers, upload_files
from charthouse.linking.eligibility import HEALTH_CONNECT, check_may_link
from charthouse.linking.people import get_person, update_person
from charthouse.linking.permissions import scopes_of_phone
from charthouse.partners.phone import check_sources, is_supported
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, tombstones
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.models import Link, Provider
from charthouse.state.phones import PhoneDevice, PhoneSource, PhoneUpload
from transforms.health_connect import LIMITS, MEDICAL_TYPES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.partners.phone import Source
    from charthouse.state.models import Actor

SLUG: Final = HEALTH_CONNECT
"""The provider of data sources whose own provider we do not know; another country's has it with a suffix."""
NAME: Final = "Health Connect"
BASE: Final = "https://health-connect.invalid/"
"""No server (RFC 2606): records come from the phone."""
OVER: Final = ("disconnected", "failed", "deleted")


@dataclass(frozen=True, slots=True)
class SourceView:
    """A data source and what became of it. `code` is why it has no link; `link_id` is empty then."""

    source_id: str
    link_id: str | None
    status: str
    display_name: str
    package_name: str
    fhir_version: str
    present: bool = True
    changes_token: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class PhoneView:
    """A phone of a person: what it lets us read, and its data sources."""

    device_id: str
    permissions: tuple[str, ...]
    connected_at: datetime
    seen_at: datetime
    sources: tuple[SourceView, ...]


def connect(
    person_key: str,
    device_id: str,
    *,
    permissions: Collection[str],
    sources: Sequence[Source],
    reconnect: Collection[str] = (),
    android_version: int | None = None,
    actor: Actor = "person",
    settings: Settings | None = None,
) -> PhoneView:
    """Take over the state of a phone: what may be read, and from which data sources. Safe to repeat.

    A new data source becomes a link. One whose link has ended, or was deleted, stays as it is unless it is named in
    `reconnect`, or the phone itself is connected anew. A data source that is not named any more keeps its link and its
    records: it may be that nothing of it may be read.

    Raises:
        PhoneError: CH971 for a phone of another account, CH972 without the consent, CH976 beyond the platform's limits.
        LinkError: CH610 to CH617 when the person may not link.
        StateError: CH602 when there is no such person.
    """
    settings = settings or get_settings()
    check_sources(sources)
    with state_session(settings) as state:
        person = get_person(state, person_key, lock=True)
        if android_version is not None and person.android_version != android_version:
            update_person(state, person_key, android_version=android_version, actor=actor, settings=settings)
        device = state.get(PhoneDevice, device_id, with_for_update=True)
        if device is not None and device.person_key != person_key:
            raise PhoneError("CH971")
        fallback = _ensure_provider(state, person.country)
        may_sync(state, person_key, fallback, settings)
        anew = device is None
        if device is None:
            device = PhoneDevice(id=device_id, person_key=person_key, quota_left=float(LIMITS.window_bytes))
            state.add(device)
            audit.record(state, actor, "phone.connected", "person", person_key)
        device.permissions = " ".join(sorted(set(permissions) & set(MEDICAL_TYPES)))
        device.seen_at = now()
        state.flush()
        known = {row.source_id: row for row in _rows(state, person_key, device_id)}
        refused = []
        for source in sources:
            if not is_supported(source):
                refused.append(_refused(source, "refused", "CH974"))
                continue
            row = known.get(source.id)
            if row is None or anew or source.id in reconnect:
                again = anew or source.id in reconnect
                row = _link(state, person_key, device_id, source, fallback, again=again, actor=actor)
            if row is None:
                refused.append(_refused(source, "deleted", None))
                continue
            row.display_name, row.fhir_version = source.display_name, source.fhir_version
            row.package_name, row.fhir_base_uri = source.package_name, source.fhir_base_uri
        state.flush()
        named = {source.id for source in sources}
        for row in _rows(state, person_key, device_id):
            row.present = row.source_id in named
            link = links.get_link(state, row.link_id)
            if link.status != "deleted":
                link.granted_scopes = scopes_of_phone(device.permissions.split())
        state.flush()
        shown = _view(state, device)
    return PhoneView(shown.device_id, shown.permissions, shown.connected_at, shown.seen_at, (*shown.sources, *refused))


def may_sync(state: Session, person_key: str, provider: str, settings: Settings) -> None:
    """Pass if a person may have their phone's records synced now.

    Raises:
        LinkError: CH610 to CH617.
        PhoneError: CH972 without the consent.
    """
    check_may_link(state, person_key, provider, "phone", settings=settings)
    if not consents.in_force(state, person_key, consents.SYNC):
        raise PhoneError("CH972")


def list_phones(state: Session, person_key: str) -> list[PhoneView]:
    """A person's phones, the one connected first before the others."""
    query = select(PhoneDevice).where(PhoneDevice.person_key == person_key)
    return [_view(state, device) for device in state.scalars(query.order_by(PhoneDevice.connected_at, PhoneDevice.id))]


def get_phone(state: Session, person_key: str, device_id: str) -> PhoneView:
    """One phone of a person.

    Raises:
        PhoneError: CH970 when they have no such phone.
    """
    device = state.get(PhoneDevice, device_id)
    if device is None or device.person_key != person_key:
        raise PhoneError("CH970")
    return _view(state, device)


def disconnect(person_key: str, device_id: str, *, actor: Actor = "person", settings: Settings | None = None) -> int:
    """Disconnect a phone: its links end, and what was on its way goes. Returns how many links ended.

    What was read stays, as it does with every link, and links by other routes are not touched. The phone may then be
    connected to another account.

    Raises:
        PhoneError: CH970 when the person has no such phone.
    """
    settings = settings or get_settings()
    ended = 0
    with state_session(settings) as state:
        get_person(state, person_key, lock=True)
        device = state.get(PhoneDevice, device_id, with_for_update=True)
        if device is None or device.person_key != person_key:
            raise PhoneError("CH970")
        rows = _rows(state, person_key, device_id)
        for row in rows:
            if links.get_link(state, row.link_id).status not in ("disconnected", "deleted"):
                links.transition(state, row.link_id, "disconnected", "access_removed", actor)
                ended += 1
        for upload in state.scalars(select(PhoneUpload).where(PhoneUpload.device_id == device_id)):
            if upload.link_id in {row.link_id for row in rows}:
                state.delete(upload)
        state.delete(device)
        audit.record(state, actor, "phone.disconnected", "person", person_key)
        gone = [row.link_id for row in rows]
    for link_id in gone:
        upload_files.remove_of_link(link_id, settings)
    return ended


def source_of(state: Session, link_id: str) -> PhoneSource:
    """The data source of a link.

    Raises:
        PhoneError: CH973 when the link is of none.
    """
    row = state.get(PhoneSource, link_id)
    if row is None:
        raise PhoneError("CH973", where=f"link {link_id}")
    return row


def _link(
    state: Session,
    person_key: str,
    device_id: str,
    source: Source,
    fallback: str,
    *,
    again: bool,
    actor: Actor,
) -> PhoneSource | None:
    """The link of a data source, begun or taken up again; None for one that was deleted and is not asked for again."""
    provider = _provider_of(state, source, fallback, person_key)
    if not again and source.id in tombstones.gone_patients(provider, [source.id]):
        return None
    link = links.start_link(state, person_key, provider, "phone", patient_id=source.id, actor=actor)
    row = state.get(PhoneSource, link.id)
    if row is None:
        row = PhoneSource(link_id=link.id, source_id=source.id, patient_ids=[], present=True)
        state.add(row)
    row.device_id = device_id
    row.display_name, row.fhir_version = source.display_name, source.fhir_version
    row.package_name, row.fhir_base_uri = source.package_name, source.fhir_base_uri
    state.flush()
    return row


def _provider_of(state: Session, source: Source, fallback: str, person_key: str) -> str:
    """The provider at a source's FHIR base, where we know it and people may link it from the phone."""
    found = providers.provider_at(state, source.fhir_base_uri)
    if found is None or found.slug.startswith(SLUG):
        return fallback
    try:
        check_may_link(state, person_key, found.slug, "phone")
    except (LinkError, StateError):
        return fallback
    return found.slug


def _ensure_provider(state: Session, country: str) -> str:
    slug = SLUG if country == "US" else f"{SLUG}-{country.lower()}"
    if state.get(Provider, slug) is None:
        providers.register_provider(
            state, slug=slug, name=NAME, fhir_base_url=f"{BASE}{country.lower()}", region=country, actor="sync"
        )
    return slug


def _rows(state: Session, person_key: str, device_id: str) -> list[PhoneSource]:
    query = (
        select(PhoneSource)
        .join(Link, Link.id == PhoneSource.link_id)
        .where(Link.person_key == person_key, PhoneSource.device_id == device_id)
    )
    return list(state.scalars(query.order_by(Link.created_at, PhoneSource.link_id)))


def _view(state: Session, device: PhoneDevice) -> PhoneView:
    sources = [
        SourceView(
            source_id=row.source_id,
            link_id=row.link_id,
            status=links.get_link(state, row.link_id).status,
            display_name=row.display_name,
            package_name=row.package_name,
            fhir_version=row.fhir_version,
            present=row.present,
            changes_token=row.changes_token,
        )
        for row in _rows(state, device.person_key, device.id)
    ]
    return PhoneView(device.id, tuple(device.permissions.split()), device.connected_at, device.seen_at, tuple(sources))


def _refused(source: Source, status: str, code: str | None) -> SourceView:
    return SourceView(
        source_id=source.id,
        link_id=None,
        status=status,
        display_name=source.display_name,
        package_name=source.package_name,
        fhir_version=source.fhir_version,
        code=code,
    )
