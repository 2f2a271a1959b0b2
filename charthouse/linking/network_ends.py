"""What has ended here, told the partner: a connection, the consent to search. At once where it answers, else by the
next look at its people (`linking.finding`): what is owed is noted in the transaction that ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.errors import CharthouseError
from charthouse.linking import consents
from charthouse.linking.found_providers import found_of_link
from charthouse.linking.identity import identity_of
from charthouse.linking.network_accounts import network_of, who_is
from charthouse.linking.people import get_person
from charthouse.log import get_logger
from charthouse.state import session as state_session
from charthouse.state.network import FoundProvider, NetworkPerson

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.models import Actor

log = get_logger(__name__)


def end(session: Session, person_key: str, *, actor: Actor) -> bool:
    """Note that a person is searched for no more. Whether a partner has to hear of it."""
    consents.withdraw(session, person_key, consents.IMPORT, actor=actor)
    row = session.get(NetworkPerson, person_key, with_for_update=True)
    if row is None or row.consented_at is None:
        return False
    row.ending = True
    session.flush()
    return True


def tell_disconnected(link_id: str, settings: Settings | None = None) -> bool:
    """Tell the partner that one of its connections is disconnected. Whether it heard."""
    with state_session(settings, read_only=True) as state:
        row = found_of_link(state, link_id)
        if row is None:
            return False
        person_key, partner, organization, found_id = row.person_key, row.partner, row.organization, row.id
        identity = identity_of(get_person(state, person_key), settings)
    if identity is None:
        return False
    try:
        network = network_of(partner, settings)
        try:
            network.disconnect(who_is(person_key, identity), organization)
        finally:
            network.close()
    except CharthouseError as error:
        log.warning("the partner was not told yet that a connection ended", code=error.code, partner=partner)
        return False
    with state_session(settings) as state:
        told = state.get(FoundProvider, found_id)
        if told is not None:
            told.ending = False
    return True


def tell_withdrawn(person_key: str, settings: Settings | None = None) -> bool:
    """Tell the partner that a person took their consent back. Whether it heard."""
    with state_session(settings, read_only=True) as state:
        row = state.get(NetworkPerson, person_key)
        identity = identity_of(get_person(state, person_key), settings)
        if row is None or identity is None or not row.ending:
            return False
        partner = row.partner
    try:
        network = network_of(partner, settings)
        try:
            network.forbid(who_is(person_key, identity))
        finally:
            network.close()
    except CharthouseError as error:
        log.warning("the partner was not told yet that a consent was taken back", code=error.code, partner=partner)
        return False
    with state_session(settings) as state:
        told = state.get(NetworkPerson, person_key)
        if told is not None:
            told.ending, told.consented_at, told.search_begun_at = False, None, None
            told.search_state, told.search_said = "none", ""
    return True
