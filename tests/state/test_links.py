"""The link's state machine: what is declared happens once and is written down; nothing else happens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import product

import pytest

from charthouse.errors import StateError
from charthouse.linking import credentials, links, people, providers
from charthouse.linking.states import SYNC_TRANSITIONS, TRANSITIONS
from charthouse.state import audit, session
from charthouse.state.models import STATUSES, SYNC_STATUSES, Link

REASONS = sorted({step.reason for step in TRANSITIONS})


def put(link_id: str, **fields: object) -> None:
    """Set fields behind the state machine's back."""
    with session() as state:
        link = links.get_link(state, link_id)
        for name, value in fields.items():
            setattr(link, name, value)


def test_every_declared_move_is_made_and_written_and_every_other_is_refused(link):
    declared = set(TRANSITIONS)
    arrows = {(step.before, step.after) for step in TRANSITIONS}
    for before, after, reason in product(STATUSES, STATUSES, REASONS):
        if (before, after) not in arrows and reason != REASONS[0]:
            continue  # where no reason would do, one stands for all
        put(link, status=before, patient_id="patient-canary", failed_reason=None)
        with session(read_only=True) as state:
            events = len(links.list_events(state, link))
        if (before, after, reason) in declared:
            with session() as state:
                links.transition(state, link, after, reason, "operator")
            with session(read_only=True) as state:
                moved, event = links.get_link(state, link), links.list_events(state, link)[-1]
            assert (moved.status, moved.failed_reason) == (after, reason if after == "failed" else None)
            assert moved.status_at == pytest.approx(event.at, abs=timedelta(seconds=5))
            said = (event.field, event.from_state, event.to_state, event.reason, event.actor)
            assert said == ("status", before, after, reason, "operator")
        else:
            with pytest.raises(StateError) as refused, session() as state:
                links.transition(state, link, after, reason, "operator")
            assert refused.value.code == "CH601"
            assert link in str(refused.value)
            with session(read_only=True) as state:
                assert links.get_link(state, link).status == before
                assert len(links.list_events(state, link)) == events


def test_the_sync_status_moves_on_its_own_and_may_be_set_twice(link):
    declared = {(step.before, step.after) for step in SYNC_TRANSITIONS}
    for before, after in product(SYNC_STATUSES, SYNC_STATUSES):
        put(link, sync_status=before, last_synced_at=None)
        if before == after or (before, after) in declared:
            with session() as state:
                moved = links.set_sync_status(state, link, after)
                assert moved.sync_status == after
                assert (moved.last_synced_at is not None) == (after in ("complete", "partial") and before != after)
        else:
            with pytest.raises(StateError, match="CH601"), session() as state:
                links.set_sync_status(state, link, after)
    with session(read_only=True) as state:
        assert links.get_link(state, link).status == "pending"
        assert sum(event.field == "sync_status" for event in links.list_events(state, link)) == len(declared)


def test_many_links_move_together_or_not_at_all(home):
    with session() as state:
        person = people.create_person(state).person_key
        ids = [links.start_link(state, person, "clinic", "direct", patient_id=f"p{number}").id for number in range(3)]
    put(ids[2], sync_status="complete")
    with pytest.raises(StateError, match="CH601"), session() as state:
        links.set_sync_statuses(state, {ids[0]: "waiting", ids[2]: "running"})
    with session(read_only=True) as state:
        assert [view.sync_status for view in links.list_links(state)] == ["never", "never", "complete"]
    with session() as state:
        links.set_sync_statuses(state, dict.fromkeys(ids, "waiting"))
        assert {view.sync_status for view in links.list_links(state)} == {"waiting"}


def test_of_two_processes_one_makes_the_move(link, at_once):
    said = at_once(*[("move", link, "confirmed", "records_received")] * 3)
    assert sorted(str(answer.get("did") or answer["refused"]) for answer in said) == ["CH601"] * 2 + ["confirmed"]
    with session(read_only=True) as state:
        assert [event.to_state for event in links.list_events(state, link)] == ["pending", "confirmed"]
        assert links.get_link(state, link).confirmed_at is not None


def test_a_look_before_the_move_does_not_cost_it(link):
    def move(state) -> str:
        try:
            return links.transition(state, link, "confirmed", "records_received", "sync").status
        except StateError as error:
            return error.code

    def other() -> str:
        with session() as state:
            return move(state)

    with ThreadPoolExecutor(1) as thread:
        with session() as state:
            links.get_link(state, link)
            race = thread.submit(other)
            wait([race], timeout=0.5)  # PostgreSQL lets it through, SQLite makes it wait for this session
            mine = move(state)
        assert sorted([mine, race.result()]) == ["CH601", "confirmed"]


def test_the_same_patient_of_a_person_at_a_provider_is_one_link(home, link):
    with session() as state:
        person = links.get_link(state, link).person_key
        assert links.start_link(state, person, "clinic", "verified", patient_id="patient-canary").id == link
        other = links.start_link(state, person, "clinic", "direct", patient_id="another").id
        assert other != link
        links.transition(state, link, "expired", "authorization_ended", "sync")
        again = links.start_link(state, person, "clinic", "direct", patient_id="patient-canary")
        assert (again.id, again.status) == (link, "pending")
        assert links.linked_patients(state, "clinic") == {"patient-canary", "another"}
        stranger = people.create_person(state).person_key
        assert links.start_link(state, stranger, "clinic", "direct", patient_id="patient-canary").id != link


def test_a_sign_in_that_turns_out_to_be_a_known_link_takes_that_one_up(link):
    with session() as state:
        person = links.get_link(state, link).person_key
        fresh = links.start_link(state, person, "clinic", "direct").id
        assert links.start_link(state, person, "clinic", "direct").id == fresh
        assert links.identify(state, fresh, "patient-canary").id == link
        spent = links.get_link(state, fresh)
        assert (spent.status, spent.failed_reason, spent.patient_id) == ("failed", "same_patient_linked", None)
        unknown = links.start_link(state, person, "clinic", "direct").id
        assert links.identify(state, unknown, "patient-2").id == unknown
        with pytest.raises(StateError, match="CH606"):
            links.identify(state, unknown, "patient-3")


def test_due_are_links_that_can_be_asked_and_work_follows_what_became_of_them(home, workers):
    with session() as state:
        providers.register_provider(state, slug="asleep", name="A", fhir_base_url="https://a.example", active=False)
        ids = {}
        for name, slug in (("due", "clinic"), ("no_tokens", "clinic"), ("asleep", "asleep"), ("gone", "clinic")):
            person = people.create_person(state).person_key
            ids[name] = links.start_link(state, person, slug, "direct", patient_id=f"patient-{name}").id
            if name != "no_tokens":
                credentials.store_tokens(state, ids[name], workers.Issued("a", "r", None, scope="patient/*.rs"))
        links.set_watermarks(state, ids["due"], {"Patient": "1"})
        links.set_watermarks(state, ids["due"], {"Patient": "2026-01-01T00:00:00Z", "Observation": "x"})
        links.set_watermarks(state, ids["gone"], {"Patient": "1"})
        assert [work.link_id for work in links.due_links(state, ["clinic"])] == [ids["due"], ids["gone"]]
        links.transition(state, ids["gone"], "deleted", "deletion_asked", "person")
    with session(read_only=True) as state:
        (work,) = links.due_links(state)
        assert (work.link_id, work.patient_id, work.granted_scopes) == (ids["due"], "patient-due", "patient/*.rs")
        assert (work.fhir_base_url, work.status) == ("https://clinic.example/fhir", "pending")
        assert work.watermarks == {"Patient": "2026-01-01T00:00:00Z", "Observation": "x"}
        assert "patient-due" not in repr(work)
        everyone = links.work_of(state, [ids["asleep"], ids["gone"], ids["due"]])
        assert [work.link_id for work in everyone] == [ids["asleep"], ids["due"]]
        gone = state.get(Link, ids["gone"])
        assert (gone.patient_id, gone.granted_scopes) == (None, None)
        assert credentials.refresh_token(state, ids["gone"]) is None
        assert links.count_by_status(state) == {"pending": 3, "deleted": 1}
        with pytest.raises(StateError, match=r"CH602.*nowhere"):
            links.due_links(state, ["nowhere"])


def test_providers_are_brought_up_to_date_and_their_endpoints_are_on_record(link):
    with session() as state:
        providers.register_provider(
            state, slug="clinic", name="Clinic", fhir_base_url="https://new.example/fhir/", partner="bwell"
        )
        (clinic,) = providers.list_providers(state)
        assert (clinic.fhir_base_url, clinic.partner, clinic.links) == ("https://new.example/fhir", "bwell", 1)
        trail = [event.action for event in audit.trail(state, "provider", "clinic")]
        assert trail == ["provider.registered", "provider.endpoint_changed"]
        assert [partner.slug for partner in providers.partners_of(state, "US")] == ["bwell"]
        for slug, base, partner, code in (
            ("No Slug", "https://a.example", None, "CH607"),
            ("a", "file:///etc/passwd", None, "CH607"),
            ("a", "https://u:p@a.example", None, "CH607"),
            ("a", "https://a.example", "nobody", "CH602"),
        ):
            with pytest.raises(StateError, match=code):
                providers.register_provider(state, slug=slug, name="A", fhir_base_url=base, partner=partner)
        for deed in (
            lambda: links.start_link(state, "nobody", "clinic", "direct"),
            lambda: links.start_link(state, links.get_link(state, link).person_key, "nowhere", "direct"),
            lambda: links.transition(state, "nothing", "confirmed", "records_received", "sync"),
        ):
            with pytest.raises(StateError, match="CH602"):
                deed()
        assert [(view.links, view.confirmed) for view in people.list_people(state)] == [(1, 0)]
