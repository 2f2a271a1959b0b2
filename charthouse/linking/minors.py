"""Minors: their links end, and what was read under them is to be removed before anybody starts over.

Somebody turns out to be one by a provider's Patient (`charthouse.linking.confirm`), or by what the account tells anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.linking import links
from charthouse.linking.eligibility import is_of_age
from charthouse.linking.identity import identity_of
from charthouse.linking.people import get_person
from charthouse.linking.removal import ask_removal
from charthouse.state.models import Link

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.models import Actor


def end_links_of_a_minor(
    session: Session, person_key: str, *, actor: Actor, settings: Settings | None = None
) -> list[str]:
    """End all links of a person whose account says that they are a minor; of an adult, none. Returns their ids.

    Raises:
        StateError: CH602 when there is no such person.
        SetupError: CH006 when the key does not open what the account tells.
    """
    person = get_person(session, person_key)
    identity = identity_of(person, settings)
    if identity is None or is_of_age(identity.birth_date, person.country):
        return []
    return end_links(session, links_of(session, person_key), actor=actor)


def end_links(session: Session, link_ids: list[str], *, actor: Actor) -> list[str]:
    """Disconnect a minor's links, and have removed what was read under them, under those that had ended before too."""
    for link_id in sorted(link_ids):
        link = links.get_link(session, link_id, lock=True)
        if link.status != "disconnected":
            link = links.transition(session, link_id, "disconnected", "minor_found", actor)
        link.identity_matched_at = None
        if link.sync_status != "never" and link.patient_id is not None:
            ask_removal(session, link_id, "minor_found", actor=actor)
    return sorted(link_ids)


def links_of(session: Session, person_key: str) -> list[str]:
    """All links of a person but those that are deleted."""
    return list(session.scalars(select(Link.id).where(Link.person_key == person_key, Link.status != "deleted")))
