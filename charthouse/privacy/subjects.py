"""Whom an erasure is about, and all that it has to know when the rows that say so are gone: sealed with the request."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from charthouse.errors import CharthouseError, StateError
from charthouse.lake import vault
from charthouse.lake.session import open_vault
from charthouse.linking.credentials import read_tokens
from charthouse.linking.found_providers import found_of_link
from charthouse.linking.identity import identity_of
from charthouse.linking.people import get_person
from charthouse.linking.providers import get_provider
from charthouse.log import get_logger
from charthouse.notify.contacts import address_of, mail_address
from charthouse.notify.mail import envelope_of
from charthouse.notify.preferences import get_preferences
from charthouse.privacy.needles import MOST_TEXTS, Needles
from charthouse.settings import get_settings
from charthouse.state import session as state_session
from charthouse.state.base import new_key
from charthouse.state.identity import IdentitySession
from charthouse.state.models import Credential, Link, Person
from charthouse.state.network import FoundProvider, IdentityVerification, NetworkPerson
from charthouse.state.notices import Contact, Delivery, Notice
from charthouse.state.phones import PhoneSource
from charthouse.state.privacy import PrivacyRequest
from charthouse.state.seals import sealer_of
from charthouse.sync import landing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.privacy import RequestKind

log = get_logger(__name__)
_AT_ONCE = 2_000
MOST_TOGETHER = 60_000
LEAST_TEXTS = 600
"""Texts that are looked for of all subjects together, and of each at least."""


@dataclass(slots=True)
class Subject:
    """One request's person or link, as it was when the erasure began.

    `grants` are tokens that the provider has still to be told of; `contacts` where its person is told of the end;
    `mails` and `exports` are ids of ours by which files are known; `patients` are their ids at providers, where these
    are nobody else's. `gone` counts what went, by place.
    """

    request_id: str
    kind: RequestKind
    person_key: str
    link_ids: list[str]
    receipt_id: str = field(default_factory=new_key)
    grants: list[dict[str, str | None]] = field(default_factory=list)
    contacts: list[list[str]] = field(default_factory=list)
    language: str = "en"
    time_zone: str = "UTC"
    mails: list[str] = field(default_factory=list)
    patients: list[list[str]] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    gone: dict[str, int] = field(default_factory=dict)
    needles: Needles = field(default_factory=Needles)

    @property
    def whole(self) -> bool:
        """Whether a person goes, and not a link alone."""
        return self.kind == "erase"

    def said(self) -> dict[str, Any]:
        """All of it, as JSON is made of it."""
        own = {name.name: getattr(self, name.name) for name in fields(self) if name.name != "needles"}
        return {**own, "needles": self.needles.dump()}

    def join(self, other: Subject) -> None:
        """Take over what another request of the same person knew, and what it had done so far."""
        for name in ("link_ids", "grants", "mails", "patients", "exports"):
            mine, theirs = getattr(self, name), getattr(other, name)
            mine.extend(each for each in theirs if each not in mine)
        for place, number in other.gone.items():
            self.count(place, number)
        self.needles.join(other.needles)

    def count(self, place: str, number: int) -> None:
        """Note that something went; what is erased again counts once more."""
        if number:
            self.gone[place] = self.gone.get(place, 0) + number


def save(session: Session, subject: Subject, settings: Settings) -> None:
    """Seal what is known of a subject with its request."""
    packed = zlib.compress(json.dumps(subject.said()).encode(), 6)
    request = session.get_one(PrivacyRequest, subject.request_id)
    text = base64.b85encode(packed).decode()
    request.sealed_notes = sealer_of(settings).seal(text, _owner(subject.request_id))
    session.flush()


def load(request: PrivacyRequest, settings: Settings) -> Subject | None:
    """What was sealed with a request; None where its erasure has not begun.

    Raises:
        SetupError: CH006 when the key does not open it.
    """
    if request.sealed_notes is None:
        return None
    packed = base64.b85decode(sealer_of(settings).open(request.sealed_notes, _owner(request.id)))
    said: dict[str, Any] = json.loads(zlib.decompress(packed))
    return Subject(**{**said, "needles": Needles.load(said["needles"])})


def begun_of(person_key: str, settings: Settings | None = None) -> str | None:
    """The erasure of a person that has begun and not ended: its request says by its seal alone whom it is about.

    Raises:
        SetupError: CH006 when the key does not open a seal.
    """
    settings = settings or get_settings()
    begun = select(PrivacyRequest).where(
        PrivacyRequest.kind == "erase", PrivacyRequest.status == "running", PrivacyRequest.sealed_notes.is_not(None)
    )
    with state_session(settings, read_only=True) as state:
        for request in state.scalars(begun):
            subject = load(request, settings)
            if subject is not None and subject.person_key == person_key:
                return request.id
    return None


def of_state(request: PrivacyRequest, settings: Settings) -> Subject:
    """A subject as the state knows it; nothing is changed.

    Raises:
        StateError: CH602 when the link is gone already.
        SetupError: CH006 when the key opens nothing any more.
    """
    with state_session(settings, read_only=True) as state:
        return _of_state(state, request, settings)


def collect(subjects: Sequence[Subject], settings: Settings) -> None:
    """Add everything about subjects that the vault and the landing hold; nothing is changed there.

    Of many at once, less is looked for of each.

    Raises:
        LakeError: as `open_vault`.
    """
    _of_vault(subjects, settings)
    most = min(MOST_TEXTS, max(LEAST_TEXTS, MOST_TOGETHER // max(1, len(subjects))))
    for subject in subjects:
        _of_landing(subject, settings)
        needles = subject.needles = subject.needles.limited(most)
        needles.ids -= needles.hard
        needles.names -= needles.hard
        needles.texts -= needles.hard | needles.ids | needles.names


def _of_state(state: Session, request: PrivacyRequest, settings: Settings) -> Subject:
    person_key = str(request.person_key)
    person = state.get(Person, person_key)
    found = list(state.scalars(select(Link).where(Link.person_key == person_key).order_by(Link.id)))
    if request.kind == "delete_link":
        found = [link for link in found if link.id == request.link_id]
    subject = Subject(request.id, request.kind, person_key, [link.id for link in found])
    needles = subject.needles
    for link in found:
        needles.key(link.id)
        needles.id(link.patient_id)
        for patient_id in _of_phone(state, link):
            needles.id(patient_id)
        if request.kind == "delete_link" and (row := found_of_link(state, link.id)) is not None:
            subject.grants.append({"partner": row.partner, "person": person_key, "organization": row.organization})
        if link.patient_id is not None and not _is_shared(state, link):
            subject.patients.append([link.provider, link.patient_id])
        _note_grant(state, subject, link, settings)
    if request.kind == "erase":
        needles.key(person_key)
        _of_partner(state, subject)
        if person is not None:
            needles.key(person.subject)
            _of_person(state, subject, settings)
    elif not found:
        raise StateError("CH602", where=f"link {request.link_id}")
    exports = select(PrivacyRequest.id).where(PrivacyRequest.person_key == person_key, PrivacyRequest.kind == "export")
    subject.exports = list(state.scalars(exports))
    return subject


def _of_phone(state: Session, link: Link) -> list[str]:
    """The ids of the person's own Patients that a phone showed."""
    source = state.get(PhoneSource, link.id)
    return list(source.patient_ids) if source is not None else []


def _is_shared(state: Session, link: Link) -> bool:
    """Whether somebody else has a link of the same patient at the same provider."""
    same = select(Link.id).where(
        Link.provider == link.provider, Link.patient_id == link.patient_id, Link.person_key != link.person_key
    )
    return state.scalar(same.limit(1)) is not None


def _of_person(state: Session, subject: Subject, settings: Settings) -> None:
    key = subject.person_key
    identity = identity_of(get_person(state, key), settings)
    for name in identity.names if identity else ():
        for part in (name.family, *name.given):
            subject.needles.called(part)
        for part in (name.text, *name.suffix):
            subject.needles.name(part)
        subject.needles.name(" ".join([*name.given, name.family]))
    opener = sealer_of(settings)
    for contact in state.scalars(select(Contact).where(Contact.person_key == key)):
        address = address_of(contact, opener)
        subject.needles.name(address)
        if contact.channel == "email":
            subject.needles.name(envelope_of(mail_address(address)))  # as it stands in a mail
        subject.contacts.append([contact.channel, address])
    wish = get_preferences(state, key)
    subject.language, subject.time_zone = wish.language, wish.time_zone
    deliveries = select(Delivery.id).join(Notice, Notice.id == Delivery.notice_id).where(Notice.person_key == key)
    subject.mails = list(state.scalars(deliveries))


def _of_partner(state: Session, subject: Subject) -> None:
    """Who the person is at a partner, at their providers there, and which partner has to delete them."""
    row = state.get(NetworkPerson, subject.person_key)
    if row is not None:
        subject.needles.id(row.partner_person_id)
        subject.grants.append({"partner": row.partner, "person": subject.person_key, "organization": None})
    mine = FoundProvider.person_key == subject.person_key
    for patient_id in state.scalars(select(FoundProvider.patient_id).where(mine, FoundProvider.patient_id != "")):
        subject.needles.id(patient_id)
    sessions = select(IdentityVerification.session_id).where(IdentityVerification.person_key == subject.person_key)
    begun = select(IdentitySession.session_id).where(IdentitySession.person_key == subject.person_key)
    for session_id in {*state.scalars(sessions), *state.scalars(begun)}:
        subject.needles.id(session_id)


def _note_grant(state: Session, subject: Subject, link: Link, settings: Settings) -> None:
    if state.get(Credential, link.id) is None:
        return
    try:
        access, refresh = read_tokens(state, link.id, settings=settings)
    except CharthouseError as error:  # a lost key keeps nobody from being erased
        log.warning("tokens will not be revoked at the provider", code=error.code)
        return
    for token in (access, refresh):
        subject.needles.id(token)
    base = get_provider(state, link.provider).fhir_base_url
    subject.grants.append({"provider": link.provider, "base": base, "access": access, "refresh": refresh})


def _of_vault(subjects: Sequence[Subject], settings: Settings) -> None:
    people = {subject.person_key: subject for subject in subjects if subject.whole}
    links = {link: subject for subject in subjects if not subject.whole for link in subject.link_ids}
    keys = sorted({subject.person_key for subject in subjects})
    with open_vault(read_only=True, settings=settings) as connection:
        for table in sorted(vault.HOLDING):
            rows = connection.execute(
                f"""
                SELECT person_key, link_id, resource_id, content_hash, resource FROM vault.{table}
                WHERE person_key IN (SELECT unnest(?))
                """,
                [keys],
            )
            while some := rows.fetchmany(_AT_ONCE):
                for person_key, link_id, resource_id, content_hash, resource in some:
                    whose = [subject for subject in (people.get(person_key), links.get(link_id)) if subject]
                    for subject in whose:
                        if link_id not in subject.link_ids:  # a restored lake knows links that the state does not
                            subject.link_ids.append(link_id)
                            subject.needles.key(link_id)
                        subject.needles.id(resource_id)
                        subject.needles.id(content_hash)
                        subject.needles.record(resource)


def _of_landing(subject: Subject, settings: Settings) -> None:
    for link_id in subject.link_ids:
        for folder in settings.landing.glob(f"*/*/{link_id}"):
            for file in landing.page_files(folder):
                try:
                    for body in landing.read_pages(file):
                        subject.needles.record(body)
                except (OSError, EOFError):
                    continue  # it is being written, or was cut off; it goes all the same


def keys_of(subjects: Sequence[Subject]) -> tuple[list[str], list[str]]:
    """The people who go, and the links that go (those of these people, too)."""
    people = [subject.person_key for subject in subjects if subject.whole]
    return people, [link for subject in subjects for link in subject.link_ids]


def _owner(request_id: str) -> str:
    return f"notes of request {request_id}"
