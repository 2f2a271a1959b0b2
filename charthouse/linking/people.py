"""People: account holders, known inside by a random key and by nothing else.

What the account tells of its person is sealed; the back end's own id of the account is kept as a keyed hash alone.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select
from sqlalchemy.exc import IntegrityError

from charthouse.errors import LinkError, StateError
from charthouse.linking.identity import identity_of, seal
from charthouse.state import audit
from charthouse.state.linking import SigningKey
from charthouse.state.models import Link, Person
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.linking.identity import Identity
    from charthouse.settings import Settings
    from charthouse.state.models import Actor

_COUNTRY = re.compile(r"[A-Z]{2}")
_SUBJECT_KEY = "account-subject"
MOST_ANDROID = 99
LONGEST_SUBJECT = 1_000


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as an operator may see them: no name, no birth date, only whether they are known."""

    person_key: str
    country: str
    created_at: datetime
    links: int
    confirmed: int
    identity_known: bool = False
    preview_member: bool = True
    android_version: int | None = None
    premium: bool = False


def create_person(
    session: Session,
    country: str = "US",
    *,
    subject: str | None = None,
    identity: Identity | None = None,
    android_version: int | None = None,
    preview_member: bool = True,
    actor: Actor = "operator",
    settings: Settings | None = None,
) -> Person:
    """A new account holder with a random key. `country` is ISO 3166-1 alpha-2; `subject` is the back end's own id.

    Raises:
        StateError: CH607 for a country that is no such code, a subject or a version that cannot be one.
        LinkError: CH625 when the account of that subject has a person already.
    """
    person = Person(country=_country(country), preview_member=preview_member, android_version=_android(android_version))
    if subject is not None:
        person.subject = _hashed(session, subject, settings)
        if session.scalar(select(Person.person_key).where(Person.subject == person.subject)) is not None:
            raise LinkError("CH625", where="subject")
    try:
        with session.begin_nested():  # two requests at once: the database decides whose person it is
            session.add(person)
    except IntegrityError:
        raise LinkError("CH625", where="subject") from None
    if identity is not None:
        person.sealed_identity = seal(identity, person.person_key, settings)
        session.flush()
    audit.record(session, actor, "person.created", "person", person.person_key)
    return person


def update_person(
    session: Session,
    person_key: str,
    *,
    country: str | None = None,
    identity: Identity | None = None,
    android_version: int | None = None,
    preview_member: bool | None = None,
    premium: bool | None = None,
    actor: Actor = "operator",
    settings: Settings | None = None,
) -> Person:
    """Change what is given; what is None stays. The audit trail says which fields, never a value.

    Another name or birth date, by the rules of links, lets a verified identity hold no more: it was somebody else's.
    Where that makes somebody a minor, their links end, and what was read is to be removed (`minors`).

    Raises:
        StateError: CH602 when there is no such person, CH607 for a country or version that cannot be one.
    """
    from charthouse.linking import minors, verifications  # they stand above this module: links know people
    from charthouse.linking.matching import same_person

    person = get_person(session, person_key, lock=True)
    if country is not None:
        person.country = _country(country)
    if android_version is not None:
        person.android_version = _android(android_version)
    if preview_member is not None:
        person.preview_member = preview_member
    if premium is not None:
        person.premium = premium
    if identity is not None:
        known = identity_of(person, settings)
        if known is None or not same_person(identity, known):
            verifications.lapse(session, person_key, actor=actor)
        person.sealed_identity = seal(identity, person_key, settings)
    given = {
        "country": country,
        "android_version": android_version,
        "preview_member": preview_member,
        "premium": premium,
        "identity": identity,
    }
    changed = ",".join(name for name, value in given.items() if value is not None)
    if changed:
        audit.record(session, actor, "person.changed", "person", person_key, {"fields": changed})
    session.flush()
    if identity is not None or country is not None:
        minors.end_links_of_a_minor(session, person_key, actor=actor, settings=settings)
    return person


def person_by_subject(session: Session, subject: str, *, settings: Settings | None = None) -> Person | None:
    """The person of the back end's account, or None."""
    return session.scalar(select(Person).where(Person.subject == _hashed(session, subject, settings)))


def get_person(session: Session, person_key: str, *, lock: bool = False) -> Person:
    """A person by their key; with `lock`, held until the transaction ends.

    Raises:
        StateError: CH602 when there is none.
    """
    query = select(Person).where(Person.person_key == person_key)
    person = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if person is None:
        raise StateError("CH602", where=f"person {person_key}")
    return person


def view_person(session: Session, person_key: str) -> PersonView:
    """One person as an operator may see them.

    Raises:
        StateError: CH602 when there is none.
    """
    get_person(session, person_key)
    return list_people(session, person_key=person_key)[0]


def list_people(session: Session, *, person_key: str | None = None) -> list[PersonView]:
    """Everyone, or the one named; oldest account first."""
    confirmed = func.coalesce(func.sum(case((Link.status == "confirmed", 1), else_=0)), 0)
    query = (
        select(Person, func.count(Link.id), confirmed)
        .outerjoin(Link, Link.person_key == Person.person_key)
        .group_by(Person.person_key)
        .order_by(Person.created_at, Person.person_key)
    )
    if person_key is not None:
        query = query.where(Person.person_key == person_key)
    return [
        PersonView(
            person_key=person.person_key,
            country=person.country,
            created_at=person.created_at,
            links=links,
            confirmed=int(sure),
            identity_known=person.sealed_identity is not None,
            preview_member=person.preview_member,
            android_version=person.android_version,
            premium=person.premium,
        )
        for person, links, sure in session.execute(query)
    ]


def _country(country: str) -> str:
    if not _COUNTRY.fullmatch(country):
        raise StateError("CH607", where="country", what="it is two capital letters, like US")
    return country


def _android(version: int | None) -> int | None:
    if version is not None and not 1 <= version <= MOST_ANDROID:
        raise StateError("CH607", where="android version", what="it is a whole number, like 14")
    return version


def _hashed(session: Session, subject: str, settings: Settings | None) -> str:
    """The back end's id under a key of this installation: whoever has the database alone cannot guess ids."""
    if not subject or len(subject) > LONGEST_SUBJECT:
        raise StateError("CH607", where="subject", what=f"it is a text of 1 to {LONGEST_SUBJECT} characters")
    return hmac.new(_subject_key(session, settings), subject.encode(), sha256).hexdigest()


def _subject_key(session: Session, settings: Settings | None) -> bytes:
    """The key, made where there is none. It is sealed and never changes: with another, no account would be found."""
    keys = sealer_of(settings)
    owner = f"signing key {_SUBJECT_KEY}"
    stored = session.get(SigningKey, _SUBJECT_KEY)
    if stored is None:
        made = keys.seal(secrets.token_hex(32), owner)
        stored = SigningKey(
            kid=_SUBJECT_KEY, purpose="account_subject", algorithm="HS256", sealed_private=made, public={}
        )
        try:
            with session.begin_nested():
                session.add(stored)
        except IntegrityError:  # another process was quicker
            session.expire_all()
            stored = session.get_one(SigningKey, _SUBJECT_KEY)
    return bytes.fromhex(keys.open(stored.sealed_private, owner))
