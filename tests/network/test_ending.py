"""What a person takes back, deletes or has erased: here, at the partner, and against the next search."""

from __future__ import annotations

import pytest
import requests

from charthouse.linking import consents, finding, found_providers, links
from charthouse.linking.disconnect import withdraw_consent
from charthouse.linking.network_accounts import set_account
from charthouse.privacy import erase
from charthouse.privacy import requests as asked
from charthouse.privacy.export.account import account_of
from charthouse.privacy.export.scope import Scope
from charthouse.state import session
from charthouse.state.network import FoundProvider, IdentityVerification, NetworkPerson

from .conftest import SECRET, connect, verified


@pytest.fixture
def person(partner) -> str:
    """Somebody for whom a provider was found and connected."""
    key = verified(partner.patients["north"][0])
    finding.look_now(key)
    return key


def statuses(key: str) -> dict[str, str]:
    with session(read_only=True) as state:
        return {one.provider: one.status for one in links.list_links(state, person_key=key)}


def test_a_partner_that_does_not_answer_hears_of_the_end_as_soon_as_it_does(partner, person):
    partner.habits(refuses=503)
    assert withdraw_consent(person, consents.IMPORT) == 1
    assert statuses(person) == {"bwell-north-clinic": "disconnected"}, "here it holds at once"
    partner.habits()
    assert partner.people()[person]["consent"] == "PERMIT"
    finding.find_providers("bwell")
    assert partner.people()[person]["consent"] == "DENY"
    assert finding.find_providers("bwell").people == 0, "and nothing is owed any more"

    with session() as state:
        consents.give(state, person, consents.IMPORT)
    finding.look_now(person)
    assert (partner.people()[person]["consent"], partner.people()[person]["searches"]) == ("PERMIT", 2)


def test_who_takes_syncing_back_is_searched_for_no_more(partner, person):
    withdraw_consent(person, consents.SYNC)
    assert statuses(person) == {"bwell-north-clinic": "disconnected"}
    assert partner.people()[person]["consent"] == "DENY"
    assert finding.find_providers("bwell").people == 0


def test_a_deleted_link_is_deleted_at_the_partner_and_not_found_again(partner, person):
    with session() as state:
        (link,) = links.list_links(state, person_key=person)
        request = asked.ask_deletion(state, link.link_id).request_id
    (ended,) = erase.run([request])
    assert (ended.code, ended.where) == (None, "")
    assert partner.people()[person]["connections"]["north-clinic"] == ["DELETED", "DATA_DELETED"]
    again = verified_again_at(partner, person)
    assert statuses(person) == {"bwell-north-clinic": "deleted"}
    with session(read_only=True) as state:
        standing = {one.provider for one in found_providers.list_found(state, person)}
    assert "bwell-north-clinic" not in standing, again


def verified_again_at(partner, key: str) -> str:
    """The network connects the person once more by itself, as one that has lost the deletion would."""
    partner.move(key, "north-clinic", "CONNECTED")
    requests.post(f"{partner.network}/sandbox/habits", json={"sync_status": "RETRIEVED"}, timeout=10)
    return str(finding.look_now(key))


def test_an_erased_person_is_deleted_at_the_partner_and_leaves_no_row(partner, person):
    with session() as state:
        said = account_of(state, person, Scope())
        assert {"verifications", "found_providers", "searches"} <= said.keys()
        assert len(said["found_providers"]) == 2
        request = asked.ask_erasure(state, person).request_id
    (ended,) = erase.run([request])
    assert (ended.code, ended.where) == (None, "")
    assert person in partner.deleted()
    with session(read_only=True) as state:
        for table in (NetworkPerson, FoundProvider, IdentityVerification):
            assert state.query(table).count() == 0


def test_an_account_that_the_partner_does_not_know_stops_the_job_and_says_so(partner, person):
    with session() as state:
        set_account(
            state,
            "bwell",
            api_url=partner.network,
            fhir_base_url=f"{partner.network}/fhir/4_0_0",
            client_key="nobody",
            secret=SECRET,
        )
        consents.withdraw(state, person, consents.IMPORT)
    verified(partner.patients["north"][1])
    with pytest.raises(Exception, match="CH175"):
        finding.find_providers("bwell")
    connect(partner)
    assert finding.find_providers("bwell").people == 0, "whoever failed waits an hour"
