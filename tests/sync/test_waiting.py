"""What a night makes of links: new ones are taken at once, confirmed by what came, failed where nothing may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.linking import links, people
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.models import Link
from charthouse.state.notices import Notice
from charthouse.sync.plan import any_waiting, plan_run
from charthouse.sync.runs import latest_run
from tests.partners.odd_server import Reply

if TYPE_CHECKING:
    from tests.partners.odd_server import Asked
    from tests.sync.conftest import House


def link() -> Link:
    with session(read_only=True) as state:
        return state.query(Link).one()


def told() -> list[tuple[str, str]]:
    with session(read_only=True) as state:
        return [(notice.kind, notice.reason) for notice in state.query(Notice).order_by(Notice.created_at)]


def again(house: House) -> None:
    """The person signs in again after an expiry."""
    with session() as state:
        links.transition(state, link().id, "expired", "authorization_ended", "sync")
        links.transition(state, link().id, "pending", "signed_in_again", "person")


def test_a_new_link_waits_until_a_run_takes_it_and_so_does_one_that_was_asked_for(house: House) -> None:
    assert any_waiting()
    assert len(plan_run([], airflow_run_id="announced", waiting=True)) == 1
    with session(read_only=True) as state:
        assert latest_run(state).scope == "waiting"
    assert not any_waiting()
    house.night()
    assert link().status == "confirmed"
    assert not any_waiting()
    with session() as state:
        links.request_sync(state, link().id)
    assert any_waiting()
    house.plan()
    assert not any_waiting()
    assert link().sync_requested_at is None, "a night takes it on like any other"


def test_a_link_is_confirmed_by_what_came_and_again_when_nothing_is_new(house: House) -> None:
    house.night()
    assert told() == [("confirmed", "records_received")]
    again(house)
    assert any_waiting()
    house.night()
    assert link().status == "confirmed"
    assert told()[1:] == [("expired", "authorization_ended"), ("reconnected", "records_received")]


def test_nothing_is_confirmed_before_the_patient_was_compared(house: House) -> None:
    with session() as state:
        person = people.get_person(state, link().person_key)
        person.sealed_identity = b"sealed"
    house.night()
    assert link().status == "pending", "it was not even asked for"
    assert house.provider.searches("Observation") == []
    with session() as state:
        links.get_link(state, link().id).identity_matched_at = now()
    house.night()
    assert link().status == "confirmed"


def test_a_grant_that_opens_nothing_any_more_fails_its_link(house: House) -> None:
    house.night()

    def closed(asked: Asked) -> Reply | None:
        return None if asked.path.endswith("metadata") else Reply(403)

    house.provider.rule(closed)
    house.night()
    assert (link().status, link().failed_reason) == ("failed", "patient_not_readable")
    assert told()[1:] == [("action_needed", "patient_not_readable")]


def test_a_grant_that_still_opens_something_stands(house: House) -> None:
    house.night()
    house.provider.rule(lambda asked: Reply(403) if "/Patient" in asked.path else None)
    with session() as state:
        links.clear_watermarks(state, link().id)
    house.night()
    assert link().status == "confirmed"
