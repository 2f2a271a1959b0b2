"""Whose records a found link is about: the partner's Patient, compared with the account, before any night reads it.

A partner matches by demographics, and one Patient may be linked to several people there. So each Patient is compared by
our own rules; somebody else's fails its link, a minor's is disconnected, and the partner has to hear of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from charthouse.clock import now
from charthouse.errors import FetchError
from charthouse.linking import found_providers, links, minors
from charthouse.linking.eligibility import is_minor
from charthouse.linking.identity import identity_of
from charthouse.linking.matching import matches
from charthouse.linking.people import get_person
from charthouse.linking.removal import ask_removal
from charthouse.linking.states import DUE
from charthouse.log import get_logger
from charthouse.state import session as state_session

if TYPE_CHECKING:
    from charthouse.partners.network import Network, Who
    from charthouse.settings import Settings

Matched = Literal["matched", "later", "identity_not_matched", "minor_found", "not_needed"]
NOT_THERE: Final = frozenset({"CH103", "CH104", "CH111"})
log = get_logger(__name__)


def match_found(link_id: str, network: Network, who: Who, settings: Settings) -> Matched:
    """Read a found link's Patient from the partner and compare it; move the link by what is found.

    A Patient that the partner does not show (yet) leaves the link as it is: no night reads it until it was compared.
    """
    with state_session(settings, read_only=True) as state:
        link = links.get_link(state, link_id)
        person = get_person(state, link.person_key)
        identity = identity_of(person, settings)
        if link.status not in DUE or link.patient_id is None or identity is None:
            return "not_needed"
        patient_id, country = link.patient_id, person.country
    try:
        patient = network.patient(who, patient_id)
    except FetchError as error:
        if error.code in NOT_THERE:
            log.info("the partner does not show the Patient of a link yet", link_id=link_id, code=error.code)
            return "later"
        raise
    if patient is None:
        return "later"
    is_asked = patient.get("id") == patient_id
    verdict = matches(identity, patient)
    with state_session(settings) as state:
        link = links.get_link(state, link_id, lock=True)
        if link.status not in DUE or link.patient_id != patient_id:
            return "not_needed"
        if is_asked and is_minor(patient, country):
            whose = minors.links_of(state, link.person_key) if verdict.matched else [link_id]
            minors.end_links(state, whose, actor="sync")
            found_providers.note_ending(state, link_id)
            return "minor_found"
        if not is_asked or not verdict.matched:
            again = link.identity_matched_at is not None
            links.transition(state, link_id, "failed", "identity_not_matched", "sync")
            link.identity_matched_at = None
            if link.sync_status != "never" and not again:
                ask_removal(state, link_id, "identity_not_matched")
            found_providers.note_ending(state, link_id)
            return "identity_not_matched"
        link.identity_matched_at = now()
        if link.status == "pending":
            link.sync_requested_at = link.identity_matched_at
    return "matched"
