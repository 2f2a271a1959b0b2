"""People: account holders, known inside by a random key and by nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from charthouse.errors import StateError
from charthouse.state.models import Link, Person

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as an operator may see them: when they came, and how many links they have."""

    person_key: str
    country: str
    created_at: datetime
    links: int
    confirmed: int


def create_person(session: Session, country: str = "US") -> Person:
    """A new account holder with a random key. `country` is ISO 3166-1 alpha-2.

    Raises:
        StateError: CH607 for a country that is no such code.
    """
    if not _COUNTRY.fullmatch(country):
        raise StateError("CH607", where="country", what="it is two capital letters, like US")
    person = Person(country=country)
    session.add(person)
    session.flush()
    return person


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


def list_people(session: Session) -> list[PersonView]:
    """Everyone, oldest account first."""
    confirmed = func.coalesce(func.sum(case((Link.status == "confirmed", 1), else_=0)), 0)
    query = (
        select(Person.person_key, Person.country, Person.created_at, func.count(Link.id), confirmed)
        .outerjoin(Link, Link.person_key == Person.person_key)
        .group_by(Person.person_key, Person.country, Person.created_at)
        .order_by(Person.created_at, Person.person_key)
    )
    return [
        PersonView(key, country, created_at, links, int(sure))
        for key, country, created_at, links, sure in session.execute(query)
    ]
