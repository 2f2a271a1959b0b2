"""Who may link (docs/linking.md): the account's person is known and of age, the region and the way are open, the phone
and the preview fit, and nothing of an ended link is left to be removed first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from charthouse.errors import LinkError
from charthouse.linking.identity import identity_of
from charthouse.linking.matching import birth_date_of
from charthouse.linking.people import get_person
from charthouse.linking.providers import get_provider
from charthouse.linking.regions import age_rule, region_of, today_in
from charthouse.partners import registry
from charthouse.state.linking import Removal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.models import Person, Provider, Route

LEAST_ANDROID: Final = 14
HEALTH_CONNECT: Final = "health-connect"
"""How the slugs begin that stand for data sources of phones: nobody can sign in there."""
APP_ROUTES: Final = frozenset({"verified", "phone"})
"""Ways that begin on the phone itself. The direct sign-in may begin in any browser."""


def check_may_link(
    session: Session,
    person_key: str,
    provider_slug: str,
    route: Route,
    *,
    today: date | None = None,
    from_app: bool | None = None,
    settings: Settings | None = None,
) -> None:
    """Pass if this person may start a link to this provider by this way; raise the first reason why not.

    `from_app` says that the Android app asks: its version then counts for the direct sign-in too.

    Raises:
        StateError: CH602 when there is no such person or provider.
        LinkError: CH610 to CH617; `charthouse.linking.refusals` has the words for the person.
    """
    person = get_person(session, person_key)
    provider = get_provider(session, provider_slug)
    check_person(session, person, today=today, settings=settings)
    check_provider(provider, route)
    needs_phone = route in APP_ROUTES if from_app is None else from_app or route in APP_ROUTES
    if needs_phone:
        check_phone(person)


def check_phone(person: Person) -> None:
    """Pass if the person's phone runs what the ways that begin on it need.

    Raises:
        LinkError: CH615.
    """
    if (person.android_version or 0) < LEAST_ANDROID:
        raise LinkError("CH615", where=f"person {person.person_key}")


def age_on(birth_date: date, day: date) -> int:
    """Whole years on a day. Who was born on 29 February is a year older on 1 March of a common year."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def age_of_majority(country: str) -> int:
    """The age at which a country's people may link; 18 where the table says nothing else."""
    return age_rule(country).age


def is_of_age(birth_date: date, country: str, *, today: date | None = None) -> bool:
    """Whether somebody of this birth date may link, by the date in their country (its westernmost zone)."""
    return age_on(birth_date, today or today_in(country)) >= age_of_majority(country)


def is_minor(patient: Mapping[str, Any], country: str, *, today: date | None = None) -> bool:
    """Whether a Patient is a minor for certain. One without a whole birth date is nobody's match in any case."""
    born = birth_date_of(patient)
    return born is not None and not is_of_age(born, country, today=today)


def check_person(
    session: Session, person: Person, *, today: date | None = None, settings: Settings | None = None
) -> None:
    """Pass if this person may link anything, by whatever way.

    Raises:
        LinkError: CH610, CH611, CH616, CH617.
    """
    where = f"person {person.person_key}"
    identity = identity_of(person, settings)
    if identity is None:
        raise LinkError("CH610", where=where)
    if not is_of_age(identity.birth_date, person.country, today=today):
        raise LinkError("CH611", where=where)
    if not person.preview_member:
        raise LinkError("CH616", where=where)
    waiting = select(Removal.id).where(Removal.person_key == person.person_key, Removal.done_at.is_(None)).limit(1)
    if session.scalar(waiting) is not None:
        raise LinkError("CH617", where=where)


def check_provider(provider: Provider, route: Route) -> None:
    """Check that a provider can be linked by a route.

    Raises:
        LinkError: CH612 for its country, CH613 when it is closed or retired, CH614 for the route.
    """
    where = f"provider {provider.slug}"
    region = region_of(provider.region)
    if region is None:
        raise LinkError("CH612", where=where, what=provider.region)
    if not provider.active or provider.retired_at is not None:
        raise LinkError("CH613", where=where)
    partner = region.partner.slug if region.partner is not None else ""
    by_partner = provider.partner is not None and provider.slug.startswith(f"{provider.partner}-")
    by_phone = provider.slug.startswith(HEALTH_CONNECT)
    # What a partner found, or a phone shares, is linked that way and no other, and nothing else is.
    if by_partner is not (route == "verified") or (by_phone and route != "phone"):
        raise LinkError("CH614", where=where, what=route)
    if route not in region.routes or (route == "verified" and not registry.serves(partner, route)):
        raise LinkError("CH614", where=where, what=route)
