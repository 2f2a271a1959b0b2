"""What the state holds of a person, as documents: who the account says they are, links and what happened to them,
consents, notices, preferences, contacts, requests, the audit trail.

Secrets of ours are left out (tokens, keys, hashes of them): they are of no use to the person, and of use to a thief.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from charthouse.errors import CATALOGUE
from charthouse.linking.consents import list_consents
from charthouse.linking.found_providers import list_found
from charthouse.linking.identity import identity_of
from charthouse.linking.people import get_person
from charthouse.linking.permissions import permitted
from charthouse.linking.searching import list_searches
from charthouse.linking.verifications import list_verifications
from charthouse.notify.contacts import address_of
from charthouse.notify.preferences import get_preferences
from charthouse.state.feed import CoachFeedEntry
from charthouse.state.identity import IdentitySession
from charthouse.state.ledger import ItemOutcome, SyncLink, SyncRun, SyncTally
from charthouse.state.linking import Removal, SignIn
from charthouse.state.models import AuditEvent, Credential, Link, LinkEvent, Provider, Watermark
from charthouse.state.notices import Contact, Delivery, Notice
from charthouse.state.phones import PhoneDevice, PhoneSource, PhoneUpload
from charthouse.state.privacy import ExportPart, PrivacyRequest
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from charthouse.privacy.export.scope import Scope
    from charthouse.settings import Settings
    from charthouse.state.base import Base

HIDDEN: Final = frozenset({"salt", "subject_digest", "previous", "digest", "sealed_notes", "deposit"})

Documents = dict[str, Any]


def account_of(session: Session, person_key: str, scope: Scope, settings: Settings | None = None) -> Documents:
    """The documents by name. What is about links is narrowed to the providers of the scope.

    Raises:
        StateError: CH602 when there is no such person.
        SetupError: CH006 when the key does not open what is sealed.
    """
    links = links_of(session, person_key, scope.providers)
    ids = [link.id for link in links]
    said: Documents = {
        "person": _person(session, person_key, settings),
        "links": [_link(session, link) for link in links],
        "phones": [_row(phone, without=("person_key",)) for phone in _phones(session, person_key)],
        "consents": [asdict(consent) for consent in list_consents(session, person_key)],
        "verifications": [asdict(one) for one in list_verifications(session, person_key, settings=settings)],
        "verification_sessions": [
            _row(one, without=("person_key", "state_hash", "sealed_address")) for one in _sessions(session, person_key)
        ],
        "found_providers": [asdict(one) for one in list_found(session, person_key, all_of_them=True)],
        "searches": [asdict(one) for one in list_searches(session, person_key)],
        "notices": _notices(session, person_key, ids if scope.providers else None),
        "preferences": _preferences(session, person_key),
        "contacts": _contacts(session, person_key, settings),
        "coach_feed": [
            _row(entry, without=("person_key", "sealed_key", "manifest", "mark"))
            for entry in session.scalars(select(CoachFeedEntry).where(CoachFeedEntry.person_key == person_key))
        ],
        "requests": _requests(session, person_key),
        "audit": _audit(session, person_key, ids),
    }
    return said


def _sessions(session: Session, person_key: str) -> list[IdentitySession]:
    query = select(IdentitySession).where(IdentitySession.person_key == person_key)
    return list(session.scalars(query.order_by(IdentitySession.started_at, IdentitySession.id)))


def links_of(session: Session, person_key: str, providers: Sequence[str] = ()) -> list[Link]:
    """A person's links, oldest first; those to some providers."""
    query = select(Link).where(Link.person_key == person_key)
    if providers:
        query = query.where(Link.provider.in_(providers))
    return list(session.scalars(query.order_by(Link.created_at, Link.id)))


def _person(session: Session, person_key: str, settings: Settings | None) -> Any:
    person = get_person(session, person_key)
    said = _row(person, without=("sealed_identity", "subject"))
    identity = identity_of(person, settings)
    said["known_to_the_app_by_a_hashed_id"] = person.subject is not None
    said["identity"] = (
        None
        if identity is None
        else {"names": [asdict(name) for name in identity.names], "birth_date": identity.birth_date}
    )
    return said


def _link(session: Session, link: Link) -> Any:
    said = _row(link)
    provider = session.get_one(Provider, link.provider)
    said["provider_name"], said["fhir_base_url"] = provider.name, provider.fhir_base_url
    said["categories"] = dict(permitted(link.granted_scopes).categories)
    grant = session.get(Credential, link.id)
    said["grant"] = None if grant is None else _row(grant, without=("link_id", "sealed_access", "sealed_refresh"))
    said["events"] = _all(session, LinkEvent, link.id, without=("id", "link_id"))
    said["read_up_to"] = _all(session, Watermark, link.id, without=("link_id",))
    said["data_sources"] = _all(session, PhoneSource, link.id, without=("link_id",))
    said["uploads"] = _all(session, PhoneUpload, link.id, without=("link_id", "sealed_key"))
    said["removals"] = _all(session, Removal, link.id, without=("link_id", "person_key"))
    signing_in = ("state_hash", "browser_hash", "sealed_secrets", "link_id")
    said["sign_ins"] = _all(session, SignIn, link.id, without=signing_in)
    said["nights"] = [
        {"run_id": run.id, "started_at": run.started_at, "finished_at": run.finished_at, "result": taken.result}
        for taken, run in session.execute(
            select(SyncLink, SyncRun)
            .join(SyncRun, SyncRun.id == SyncLink.run_id)
            .where(SyncLink.link_id == link.id)
            .order_by(SyncRun.started_at, SyncRun.id)
        )
    ]
    said["received"] = _all(session, SyncTally, link.id, without=("link_id",))
    said["outcomes"] = _all(session, ItemOutcome, link.id, without=("id", "link_id", "batch"))
    for outcome in said["outcomes"]:
        entry = CATALOGUE.get(outcome["code"])
        outcome["means"] = entry.title if entry else ""
    return said


def _phones(session: Session, person_key: str) -> list[PhoneDevice]:
    query = select(PhoneDevice).where(PhoneDevice.person_key == person_key)
    return list(session.scalars(query.order_by(PhoneDevice.connected_at, PhoneDevice.id)))


def _notices(session: Session, person_key: str, link_ids: Sequence[str] | None) -> Any:
    query = select(Notice).where(Notice.person_key == person_key).order_by(Notice.created_at, Notice.id)
    told = []
    for notice in session.scalars(query):
        if link_ids is not None and notice.link_id is not None and notice.link_id not in link_ids:
            continue
        ways = session.scalars(select(Delivery).where(Delivery.notice_id == notice.id).order_by(Delivery.channel))
        without = ("person_key", "dedupe_key")
        told.append(_row(notice, without=without) | {"deliveries": [_row(way, without=("notice_id",)) for way in ways]})
    return told


def _preferences(session: Session, person_key: str) -> Any:
    said = asdict(get_preferences(session, person_key))
    said["unsubscribed"] = [{"channel": channel, "kind": kind} for channel, kind in sorted(said["unsubscribed"])]
    return said


def _contacts(session: Session, person_key: str, settings: Settings | None) -> Any:
    found = list(session.scalars(select(Contact).where(Contact.person_key == person_key).order_by(Contact.channel)))
    if not found:
        return []
    opener = sealer_of(settings)
    return [
        {"channel": each.channel, "address": address_of(each, opener), "created_at": each.created_at} for each in found
    ]


def _requests(session: Session, person_key: str) -> Any:
    query = select(PrivacyRequest).where(PrivacyRequest.person_key == person_key).order_by(PrivacyRequest.asked_at)
    said = []
    for request in session.scalars(query):
        parts = session.scalars(
            select(ExportPart).where(ExportPart.request_id == request.id).order_by(ExportPart.number)
        )
        shown = [{"number": part.number, "size": part.size, "sha256": part.sha256} for part in parts]
        said.append(_row(request, without=("person_key",)) | {"parts": shown})
    return said


def _audit(session: Session, person_key: str, link_ids: Sequence[str]) -> Any:
    asked = select(PrivacyRequest.id).where(PrivacyRequest.person_key == person_key)
    query = select(AuditEvent).where(
        AuditEvent.subject_id.in_([person_key, *link_ids]) | AuditEvent.subject_id.in_(asked)
    )
    return [_row(event) for event in session.scalars(query.order_by(AuditEvent.id))]


def _all(session: Session, table: type[Any], link_id: str, *, without: Sequence[str]) -> list[dict[str, Any]]:
    query = select(table).where(table.link_id == link_id)
    return [_row(row, without=without) for row in session.scalars(query.order_by(*table.__table__.primary_key))]


def _row(row: Base, *, without: Sequence[str] = ()) -> dict[str, Any]:
    hidden = HIDDEN.union(without)
    return {column.key: getattr(row, column.key) for column in type(row).__table__.columns if column.key not in hidden}
