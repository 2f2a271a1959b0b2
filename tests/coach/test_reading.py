"""Who is answered, from what: consent at every read, shelves that are never older than the records, odd questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from charthouse.api import tokens
from charthouse.coach.functions import FUNCTIONS
from charthouse.errors import CoachError
from charthouse.lake import shelf
from charthouse.lake.session import RECORDS, writing
from charthouse.linking import consents, people
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import AuditEvent, Person
from tests.sync.conftest import PATIENT, observation
from transforms.coach.facts import PersonRecords

if TYPE_CHECKING:
    from tests.api.conftest import Api
    from tests.sync.conftest import House


@pytest.fixture
def person(house: House) -> str:
    """Whose records the house has."""
    with session(read_only=True) as state:
        return state.scalars(select(Person.person_key)).one()


def agree(person: str) -> None:
    with session() as state:
        people.update_person(state, person, premium=True)
        consents.give(state, person, consents.PERSONALISATION)


def value_of(answer: Any) -> float:
    return answer.json()["result"]["fact"]["value"]["quantity"]["number"]


def test_nobody_is_read_who_did_not_agree_and_what_is_read_is_what_was_published_last(
    house: House, api: Api, person: str
) -> None:
    house.provider.resources.append({
        "resourceType": "Observation", "id": "wrong", "status": "entered-in-error", "subject": {"reference": f"Patient/{PATIENT}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]}, "effectiveDateTime": "2024-03-01",
        "category": observation(0)["category"], "valueQuantity": {"value": 7, "unit": "mg/dL"},
        "meta": {"lastUpdated": "2024-05-01T10:00:00Z"},
    })  # fmt: skip
    house.night()
    own, stranger = tokens.issue(person=person), tokens.issue(person=other_person())
    glucose = f"/people/{person}/coach/latest-result?name=my+blood+sugar"
    file = shelf.file_of(person, get_settings())

    # Premium alone is not enough, nor the consent alone; a shelf is put for nobody who did not agree.
    assert api.ask("GET", glucose, own).json()["code"] == "CH680"
    with session() as state:
        people.update_person(state, person, premium=True)
    assert api.ask("GET", glucose, own).status_code == 403
    assert not file.exists()

    # From the consent on they are answered, without a night: from the records first, then from the shelf.
    agree(person)
    assert value_of(api.ask("GET", glucose, own)) == 92
    assert file.exists()
    first = api.ask("GET", glucose, own).json()["result"]
    assert first["earlier"] == 2
    assert first["fact"]["when"] == {"value": "2024-01-03", "precision": "day"}
    assert first["fact"]["sources"][0]["resource_key"].endswith("/Observation/o2")
    assert b"mg/dL" not in file.read_bytes()

    # A night with something new: the shelf is another.
    house.provider.resources.append(observation(9))
    before = file.read_bytes()
    house.night()
    assert file.read_bytes() != before
    assert value_of(api.ask("GET", glucose, own)) == 99

    # Another person is told what is told of nobody.
    nobody = "00000000-0000-4000-8000-000000000000"
    others = [api.ask("GET", glucose.replace(person, key), stranger) for key in (person, nobody)]
    assert {(told.status_code, told.json()["code"]) for told in others} == {(404, "CH806")}

    # The audit trail knows that it was read, by which function and way, and nothing else.
    with session(read_only=True) as state:
        reads = state.scalars(select(AuditEvent).where(AuditEvent.action == "coach.read")).all()
        assert {tuple(sorted(read.detail.items())) for read in reads} == {
            (("function", "latest-result"), ("through", "api"))
        }

    # Taken back: nothing in the same second, through any door, and no copy is left.
    assert api.ask("DELETE", f"/people/{person}/consents/personalisation", own).status_code == 204
    assert not file.exists()
    for each in FUNCTIONS:
        given = dict.fromkeys(each.free_text, "glucose")
        told = api.ask("GET", f"/people/{person}/coach/{each.name}", own, params=given)
        assert (told.status_code, told.json()["code"]) == (403, "CH680")
    assert "CH680" in house.charthouse("coach", person, "latest-result", "glucose").stderr


def test_a_shelf_is_never_put_from_records_of_before_a_change(house: House, person: str) -> None:
    house.night()
    agree(person)
    settings = get_settings()
    seen = shelf.mark(settings)
    with pytest.raises(RuntimeError), writing(RECORDS), shelf.changing([person], settings):
        # Who read before the change, or reads while it is going on, puts nothing.
        assert not shelf.put(person, PersonRecords(), seen, lambda: True, settings)
        assert shelf.mark(settings) == ""
        raise RuntimeError("killed")
    # Nobody is at work any more: shelves may be put again, but not with what was read before.
    assert not shelf.put(person, PersonRecords(), seen, lambda: True, settings)
    fresh = shelf.mark(settings)
    assert fresh
    assert not shelf.put(person, PersonRecords(), fresh, lambda: False, settings)
    assert shelf.put(person, PersonRecords(), fresh, lambda: True, settings)
    # A file that was cut off, or is somebody else's, is as none.
    file = shelf.file_of(person, settings)
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert shelf.take(person, settings) is None
    theirs = shelf.file_of(other_person(), settings)
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(whole)
    assert shelf.take(theirs.stem, settings) is None


ODD = {
    "unknown": "Wombat titre",
    "other language": "¿Cuál es mi hemoglobina glicosilada?",
    "sql": "x'; DROP TABLE lab_results; --",
    "emoji": "🩸💉",
    "a code with its system": "http://loinc.org|9999-9",
    "pattern": "%_.*[a-z]+(",
    "silent words alone": "what is my the",
    "a path": "../../keys/credentials.key",
}
REFUSED = {"100 KB": "a1c " * 25_000, "NUL": "a1c\u0000", "line": "a1c\nx", "nothing": ""}


def test_odd_questions_are_not_found_or_refused_in_one_way(house: House, api: Api, person: str) -> None:
    house.night()
    agree(person)
    own, operator = tokens.issue(person=person), tokens.issue(operator=True)
    for each in FUNCTIONS:
        for given in each.free_text:
            for asked in ODD.values():
                told = api.ask("GET", f"/people/{person}/coach/{each.name}", own, params={given: asked})
                assert told.status_code == 200, told.text
                result = told.json()["result"]
                assert not result["found"]
                assert result["looked_for"]["asked"] == asked
                assert told.json()["freshness"]["last_synced_at"]
            for asked in REFUSED.values():
                told = api.ask("GET", f"/people/{person}/coach/{each.name}", own, params={given: asked})
                assert told.status_code in (414, 422, 400)
                assert "a1c" not in told.text
    trend = f"/people/{person}/coach/trend"
    for since in ("2024-13", "yesterday", "2024-02-30x"):
        assert api.ask("GET", trend, own, params={"name": "glucose", "since": since}).status_code == 422
    assert api.ask("GET", trend, own, params={"name": "glucose", "limit": "1"}).status_code == 422
    assert api.ask("GET", f"/people/{person}/coach/nothing-such", own).status_code == 404
    assert api.ask("GET", trend, "expired").status_code == 401

    # A person of whom there is nothing.
    newcomer = other_person()
    agree(newcomer)
    for each in FUNCTIONS:
        params = dict.fromkeys(each.free_text, "glucose")
        told = api.ask("GET", f"/people/{newcomer}/coach/{each.name}", operator, params=params)
        assert told.status_code == 200
        assert not told.json()["result"]["found"]
        assert told.json()["freshness"] == {"has_records": False, "links": []}


def test_a_command_prints_what_the_api_answers(house: House, api: Api, person: str) -> None:
    house.night()
    for arguments in (("people", "edit", person, "--premium"), ("consents", "grant", person, "personalisation")):
        assert house.charthouse(*arguments).returncode == 0
    told = api.ask("GET", f"/people/{person}/coach/trend?name=glucose&since=2024", tokens.issue(operator=True)).json()
    import json

    assert json.loads(house.charthouse("coach", person, "trend", "glucose", "--since", "2024", "--json").stdout) == told
    assert told["result"]["change"]["difference"] == 2
    said = house.charthouse("coach", person, "latest-result", "sugar").stdout
    assert "2024-01-03" in said
    assert "92 mg/dL" in said
    assert "clinic" in said


def other_person() -> str:
    with session() as state:
        return people.create_person(state).person_key


def test_what_cannot_be_used_is_told_without_what_it_was() -> None:
    from charthouse.coach.answering import asked_of
    from charthouse.coach.functions import function

    with pytest.raises(CoachError) as refused:
        asked_of(function("trend"), {"name": "secret", "since": "secret", "secret": "secret"})
    assert refused.value.code == "CH682"
    assert "secret" not in str(refused.value).replace("it does not take that", "")
