"""Who may be searched for by a partner, and whose turn it is.

A search needs an account that says who its person is, of age and in the preview, in a region whose partner searches; a
verified identity that still holds; and the consent to import records. The turns of all of them are one query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, exists, or_, select

from charthouse.errors import LinkError
from charthouse.linking import consents, verifications
from charthouse.linking.eligibility import check_person, check_phone
from charthouse.linking.people import get_person
from charthouse.linking.regions import region_of, regions
from charthouse.partners import registry
from charthouse.settings import get_settings
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.linking import Consent
from charthouse.state.models import Person
from charthouse.state.network import FoundProvider, IdentityVerification, NetworkAccount, NetworkPerson

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.linking.verifications import Verification
    from charthouse.settings import Settings
    from charthouse.state.network import SearchState

IMPORT: Final = consents.IMPORT


@dataclass(frozen=True, slots=True)
class SearchView:
    """How a person's search stands. `search_said` is the partner's own word, `code` what was in the way last."""

    person_key: str
    partner: str
    search: SearchState
    search_said: str
    begun_at: datetime | None
    searched_at: datetime | None
    looked_at: datetime | None
    next_look_at: datetime
    code: str | None
    ending: bool


def check_may_search(session: Session, person_key: str, *, settings: Settings | None = None) -> Verification:
    """Pass if a person's providers may be searched for now; raise the first reason why not.

    Raises:
        StateError: CH602 when there is no such person.
        LinkError: CH610, CH611, CH615 to CH617 as for any link; CH612, CH614 for a region without such a partner;
            CH650, CH651 for the identity, CH652 for the consent.
    """
    person = get_person(session, person_key)
    check_person(session, person, settings=settings)
    check_phone(person)
    partner_of(person.country)
    found = verifications.check_verified(session, person_key, settings=settings)
    if not consents.in_force(session, person_key, IMPORT):
        raise LinkError("CH652", where=f"person {person_key}")
    return found


def partner_of(country: str) -> str:
    """The slug of the partner that searches for the people of a country.

    Raises:
        LinkError: CH612 for a region that is not supported, CH614 for one without such a partner.
    """
    region = region_of(country)
    if region is None:
        raise LinkError("CH612", what=country)
    if (
        region.partner is None
        or "verified" not in region.routes
        or not registry.serves(region.partner.slug, "verified")
    ):
        raise LinkError("CH614", what="verified")
    return region.partner.slug


def due(session: Session, partner: str, *, settings: Settings | None = None, most: int | None = None) -> list[str]:
    """The keys of the people whose turn it is at a partner, those first who wait longest.

    Also those of whom the partner has still to hear that something ended, whatever else holds for them.
    """
    settings = settings or get_settings()
    at = now()
    countries = [one.country for one in regions() if one.partner is not None and one.partner.slug == partner]
    agreed = exists().where(
        Consent.person_key == Person.person_key, Consent.kind == IMPORT, Consent.withdrawn_at.is_(None)
    )
    verified = and_(
        IdentityVerification.person_key == Person.person_key,
        IdentityVerification.outcome == "verified",
        IdentityVerification.lapsed_at.is_(None),
    )
    oldest = verifications.holds_from(at, settings)
    if oldest is not None:
        verified = and_(verified, IdentityVerification.verified_at > oldest)
    searched_for = and_(
        Person.country.in_(countries),
        Person.preview_member,
        Person.sealed_identity.is_not(None),
        agreed,
        exists().where(verified),
        or_(NetworkPerson.person_key.is_(None), NetworkPerson.next_look_at <= at),
    )
    ending = exists().where(
        FoundProvider.person_key == Person.person_key, FoundProvider.partner == partner, FoundProvider.ending
    )
    owed = and_(NetworkPerson.partner == partner, or_(NetworkPerson.ending, ending))
    query = (
        select(Person.person_key)
        .outerjoin(NetworkPerson, NetworkPerson.person_key == Person.person_key)
        .where(or_(searched_for, owed))
        .order_by(NetworkPerson.next_look_at.is_not(None), NetworkPerson.next_look_at, Person.person_key)
    )
    return list(session.scalars(query if most is None else query.limit(most)))


def list_searches(session: Session, person_key: str | None = None) -> list[SearchView]:
    """How searches stand, longest known first."""
    query = select(NetworkPerson).order_by(NetworkPerson.created_at, NetworkPerson.person_key)
    if person_key is not None:
        query = query.where(NetworkPerson.person_key == person_key)
    return [
        SearchView(
            person_key=row.person_key,
            partner=row.partner,
            search=row.search_state,
            search_said=row.search_said,
            begun_at=row.search_begun_at,
            searched_at=row.searched_at,
            looked_at=row.looked_at,
            next_look_at=row.next_look_at,
            code=row.code,
            ending=row.ending,
        )
        for row in session.scalars(query)
    ]


def look_soon(session: Session, person_key: str) -> bool:
    """Let it be a person's turn now. Whether they are known to a partner."""
    row = session.get(NetworkPerson, person_key, with_for_update=True)
    if row is not None:
        row.next_look_at = now()
        session.flush()
    return row is not None


def partners_set_up(settings: Settings | None = None) -> list[str]:
    """Those of `partners` that an operator has set up, by slug."""
    with state_session(settings, read_only=True) as state:
        known = set(state.scalars(select(NetworkAccount.partner)))
    return [slug for slug in partners() if slug in known]


def partners() -> list[str]:
    """The partners that search, by slug."""
    found = {one.partner.slug for one in regions() if one.partner is not None and "verified" in one.routes}
    return sorted(slug for slug in found if registry.serves(slug, "verified"))
