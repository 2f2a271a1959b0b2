"""From a verified identity to records in the tables: searched for, found, told, connected or signed in, read."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests

from charthouse.errors import CharthouseError
from charthouse.linking import consents, finding, found_providers, links, people, searching, verifications
from charthouse.linking.disconnect import disconnect, withdraw_consent
from charthouse.linking.keys import ensure_key
from charthouse.notify.outbox import list_notices
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.base import now

from .conftest import ORGANIZATIONS, Night, connect, in_vault, report, rows, serving, verified


def found(key: str, **options: bool) -> dict[str, found_providers.FoundView]:
    with session(read_only=True) as state:
        return {one.provider: one for one in found_providers.list_found(state, key, **options)}


def test_a_verified_person_is_found_told_once_and_read_in_the_same_night(partner):
    key = verified(partner.patients["north"][0])
    assert finding.find_providers("bwell").people == 1
    first = found(key)
    assert {(one.name, one.way, one.status_said) for one in first.values()} == {
        ("North Clinic", "connected", "CONNECTED"),
        ("South Hospital", "sign_in", "NEEDS ATTENTION"),
    }
    finding.look_now(key)
    with session(read_only=True) as state:
        told = [(one.kind, one.reason, dict(one.detail)["provider"]) for one in list_notices(state, key)]
    assert sorted(told) == sorted(
        ("provider_found", "connected" if one.way == "connected" else "sign_in_needed", slug)
        for slug, one in first.items()
    ), "once for each, however often it is looked"

    said = report(Night("first").run())
    assert (said.status, said.links.complete, said.outcomes) == ("complete", 1, ())
    (link_id,) = [one.link_id for one in first.values() if one.link_id]
    assert {"Patient", "Observation", "Practitioner"} <= {kind for kind, _ in in_vault(link_id)}
    assert not {"Person", "SubscriptionStatus"} & {kind for kind, _ in in_vault(link_id)}
    with session(read_only=True) as state:
        link = links.get_link(state, link_id)
        assert (link.status, link.route) == ("confirmed", "verified")
    assert {row[0] for row in rows("lab_results", "provider")} == {"bwell-north-clinic"}


def test_who_signs_in_at_what_was_found_gets_a_link_of_their_own_and_each_ends_alone(partner):
    key = verified(partner.patients["north"][1])
    finding.look_now(key)
    south = found(key)[slug_of_south()]
    page = finding.sign_in_url(south.found_id)
    assert requests.get(page, timeout=10).ok
    assert requests.post(page, data={"decision": "allow"}, timeout=10).ok
    finding.look_now(key)
    assert found(key)[slug_of_south()].way == "connected"
    night = report(Night("both").run())
    assert (night.status, night.links.complete) == ("complete", 2)
    both = {slug: one.link_id for slug, one in found(key).items()}
    held = {slug: in_vault(str(link_id)) for slug, link_id in both.items()}
    assert all(held.values())
    assert not held["bwell-north-clinic"] & {pair for pair in held[slug_of_south()] if pair[0] == "Patient"}
    assert {row[0] for row in rows("conditions", "provider")} == set(both)

    disconnect(str(both[slug_of_south()]))
    assert partner.people()[key]["connections"]["South_Hospital.42"][0] == "DISCONNECTED"
    finding.look_now(key)
    with session(read_only=True) as state:
        states = {one.provider: one.status for one in links.list_links(state, person_key=key)}
    assert states == {"bwell-north-clinic": "confirmed", slug_of_south(): "disconnected"}
    report(Night("after").run())
    assert in_vault(str(both["bwell-north-clinic"])) == held["bwell-north-clinic"], "the other link is as it was"

    assert withdraw_consent(key, consents.IMPORT) == 1
    assert partner.people()[key]["consent"] == "DENY", "the partner has heard at once"
    with pytest.raises(CharthouseError, match="CH652"):
        finding.look_now(key)
    assert finding.find_providers("bwell").people == 0


def slug_of_south() -> str:
    return found_providers.slug_of("bwell", "South_Hospital.42")


@pytest.mark.parametrize(
    ("account", "code"),
    [({"verify": False}, "CH650"), ({"consent": False}, "CH652")],
    ids=["not_verified", "not_agreed"],
)
def test_nobody_is_searched_for_without_a_verified_identity_and_their_consent(partner, account, code):
    key = verified(partner.patients["north"][0], **account)
    with pytest.raises(CharthouseError, match=code):
        finding.look_now(key)
    assert finding.find_providers("bwell").people == 0
    assert partner.asked()["total"] == 0, "the partner does not hear of them"


def test_a_verification_ages(partner, monkeypatch, tmp_path):
    clock = tmp_path / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(clock))
    get_settings.cache_clear()
    key = verified(partner.patients["north"][0])
    clock.write_text(str(366 * 86_400))
    with session(read_only=True) as state, pytest.raises(CharthouseError, match="CH651"):
        searching.check_may_search(state, key)
    with session() as state:
        verifications.record(
            state, key, verifier="clear", session_id="again", outcome="verified", at=now(), level="IAL2"
        )
        searching.check_may_search(state, key)


def test_one_session_verifies_one_person_once(home):
    with session() as state:
        first, second = (people.create_person(state).person_key for _ in range(2))
        given = {"verifier": "clear", "session_id": "one", "at": now(), "level": "IAL2"}
        noted = verifications.record(state, first, outcome="verified", **given)
        assert verifications.record(state, first, outcome="verified", **given) == noted
        for key, outcome in ((second, "verified"), (first, "failed")):
            with pytest.raises(CharthouseError, match="CH653"):
                verifications.record(state, key, outcome=outcome, **given)
        assert verifications.current(state, second) is None
        for wrong in ({"level": "IAL9"}, {"session_id": "with space"}, {"at": now() + timedelta(hours=1)}):
            with pytest.raises(CharthouseError, match="CH656"):
                verifications.record(state, second, outcome="verified", **(given | {"session_id": "two"} | wrong))


def test_words_that_nobody_knows_are_kept_and_move_nothing_and_known_ones_move_links(partner):
    key = verified(partner.patients["north"][2])
    finding.look_now(key)

    def seen(**habits: str) -> tuple[str, str, str]:
        partner.habits(**habits)
        finding.look_now(key)
        one = found(key)["bwell-north-clinic"]
        return one.status_said, one.sync_said, str(one.link_status)

    assert seen(status="QUARANTINED", sync_status="PONDERING") == ("QUARANTINED", "PONDERING", "pending")
    assert seen(status="EXPIRED") == ("EXPIRED", "RETRIEVED", "expired")
    assert seen() == ("CONNECTED", "RETRIEVED", "pending")
    partner.habits(vanished=["north-clinic"])
    finding.look_now(key)
    assert "bwell-north-clinic" not in found(key)
    with session(read_only=True) as state:
        assert not links.due_links(state), "no night asks for what the partner lists no more"
    partner.habits()
    finding.look_now(key)
    with session(read_only=True) as state:
        assert [link.route for link in links.due_links(state)] == ["verified"]
    partner.move(key, "north-clinic", "DISCONNECTED")
    assert seen()[2] == "disconnected"


def test_a_search_that_does_not_end_is_begun_anew_and_told(partner, monkeypatch, tmp_path):
    clock = tmp_path / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(clock))
    get_settings.cache_clear()
    partner.habits(search_never_ends=True)
    key = verified(partner.patients["north"][3])
    assert (finding.look_now(key).outcome, partner.people()[key]["searches"]) == ("searching", 1)
    clock.write_text(str(49 * 3600))
    look = finding.look_now(key)
    assert (look.outcome, look.code, partner.people()[key]["searches"]) == ("searching", "CH185", 2)
    assert not found(key)


def test_what_was_waved_away_is_not_told_or_linked_again(partner):
    key = verified(partner.patients["north"][3])
    finding.look_now(key)
    with session() as state:
        for one in found_providers.list_found(state, key):
            found_providers.dismiss(state, one.found_id)
    finding.look_now(key)
    assert not found(key)
    assert set(found(key, all_of_them=True)) == {"bwell-north-clinic", slug_of_south()}
    with session(read_only=True) as state:
        assert len(list_notices(state, key)) == 2


def test_another_persons_patient_never_becomes_a_link_of_theirs(partner):
    said = partner.patients["north"][0]
    twin = said | {"name": [{"family": said["name"][0]["family"], "given": [said["name"][0]["given"][0], "Quentin"]}]}
    first, second = verified(said), verified(twin)
    assert finding.find_providers("bwell").people == 2
    states = {}
    for key in (first, second):
        with session(read_only=True) as state:
            (link,) = links.list_links(state, person_key=key)
        states[key] = (link.status, link.failed_reason)
    assert states[first] == ("pending", None)
    if len(said["name"][0]["given"]) > 1:  # the middle names contradict: a twin, say
        assert states[second] == ("failed", "identity_not_matched")
        finding.look_now(second)
        assert partner.people()[second]["connections"]["north-clinic"][0] == "DISCONNECTED"
        assert partner.people()[first]["connections"]["north-clinic"][0] == "CONNECTED"


def test_the_sandboxs_network_knows_its_people_again_after_a_stop(stores, home, tmp_path):
    ensure_key()
    with serving(tmp_path, stores, ORGANIZATIONS) as first:
        connect(first)
        key = verified(first.patients["north"][0])
        finding.look_now(key)
        before = first.people()[key]
    with serving(tmp_path, stores, ORGANIZATIONS) as second:
        assert second.people()[key] == before
