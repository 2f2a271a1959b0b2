"""Consents: what a person agreed to, in which version of its text, and when they took it back. Nothing is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.errors import StateError
from charthouse.linking.people import get_person
from charthouse.state import audit
from charthouse.state.base import now
from charthouse.state.linking import Consent

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor

SYNC = "sync"
"""The consent that links rest on: whoever takes it back is disconnected everywhere (`linking.disconnect`)."""
IMPORT = "import-records"
"""The consent to the search by a partner (`linking.searching`); whoever takes it back is searched for no more, and what
was found is disconnected, here and at the partner."""
PERSONALISATION = "personalisation"
"""The consent to the use of records by the personal health coach (`charthouse.coach`), which takes Premium as well."""
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ConsentView:
    """One consent; in force while `withdrawn_at` is empty."""

    kind: str
    version: str
    given_at: datetime
    withdrawn_at: datetime | None


def give(session: Session, person_key: str, kind: str, version: str = "1", *, actor: Actor = "person") -> Consent:
    """Note that a person agrees. The same version again changes nothing; another one takes the older one's place.

    Raises:
        StateError: CH602 when there is no such person, CH607 for a kind or version that cannot be one.
    """
    for what, word in (("kind", kind), ("version", version)):
        if not _WORD.fullmatch(word):
            raise StateError("CH607", where=f"consent {what}", what="it is 1 to 64 of a-z, 0-9, dot and hyphens")
    get_person(session, person_key, lock=True)  # two requests at once must not both give it
    held = _in_force(session, person_key, kind)
    if held is not None and held.version == version:
        return held
    if held is not None:
        held.withdrawn_at = now()
    given = Consent(person_key=person_key, kind=kind, version=version)
    session.add(given)
    audit.record(session, actor, "consent.given", "person", person_key, {"kind": kind, "version": version})
    session.flush()
    return given


def withdraw(session: Session, person_key: str, kind: str, *, actor: Actor = "person") -> bool:
    """Note that a person takes a consent back; whether there was one in force.

    Raises:
        StateError: CH602 when there is no such person.
    """
    get_person(session, person_key, lock=True)
    held = _in_force(session, person_key, kind)
    if held is None:
        return False
    held.withdrawn_at = now()
    audit.record(session, actor, "consent.withdrawn", "person", person_key, {"kind": kind, "version": held.version})
    session.flush()
    return True


def in_force(session: Session, person_key: str, kind: str) -> bool:
    """Whether a person's consent of that kind holds now."""
    return _in_force(session, person_key, kind) is not None


def list_consents(session: Session, person_key: str) -> list[ConsentView]:
    """Every consent that a person gave, oldest first.

    Raises:
        StateError: CH602 when there is no such person.
    """
    get_person(session, person_key)
    query = select(Consent).where(Consent.person_key == person_key).order_by(Consent.given_at, Consent.id)
    return [
        ConsentView(consent.kind, consent.version, consent.given_at, consent.withdrawn_at)
        for consent in session.scalars(query)
    ]


def _in_force(session: Session, person_key: str, kind: str) -> Consent | None:
    query = select(Consent).where(
        Consent.person_key == person_key, Consent.kind == kind, Consent.withdrawn_at.is_(None)
    )
    return session.scalars(query.order_by(Consent.given_at.desc())).first()
