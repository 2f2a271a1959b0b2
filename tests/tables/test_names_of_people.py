"""A table names providers and their staff, and neither the person nor a relative, however a record points at them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tables.test_odd_records import MINE, Laid, bundle, of, result

NAME = "Ottoline Canary"
RELATIVE = "Perpetua Canary"
UUID = "4a1c0f1e-0000-4000-8000-000000000001"
SYSTEM, NPI = "http://hl7.org/fhir/sid/us-npi", "1999999984"
STAFF = {
    "resourceType": "Practitioner",
    "id": "staff",
    "identifier": [{"system": SYSTEM, "value": NPI}],
    "name": [{"given": ["Hedda"], "family": "Nurse"}],
}
MOTHER = {"resourceType": "RelatedPerson", "id": "mother", "patient": MINE, "name": [{"text": RELATIVE}]}
COPY = {"resourceType": "Patient", "id": "copy", "name": [{"text": NAME}]}
INLINE = {**MOTHER, "id": "inline"}


OWN = {"reference": f"Patient/{UUID}"}
SEARCH = {"reference": "Patient?identifier=urn:mrn|7"}
POINTING: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[dict[str, Any], ...], str | None]] = {
    "relative": (OWN, {"reference": "RelatedPerson/mother", "display": RELATIVE}, (), "link/RelatedPerson/mother"),
    "relative within": (OWN, {"reference": "#inline"}, (INLINE,), "link/Observation/relative-within#inline"),
    "fullUrl": ({"reference": f"urn:uuid:{UUID}"}, {"reference": f"urn:uuid:{UUID}", "display": NAME}, (), "person"),
    "fullUrl and id": (OWN, {"reference": f"urn:uuid:{UUID}", "display": NAME}, (), "person"),
    "search": (SEARCH, {**SEARCH, "display": NAME}, (), "person"),
    "search and id": (OWN, {**SEARCH, "display": NAME}, (), None),
    "within": (OWN, {"reference": "#copy", "display": NAME}, (COPY,), None),
    "subject within": ({"reference": "#copy"}, {"reference": "#copy", "display": NAME}, (COPY,), "person"),
    "type": (OWN, {"type": "Patient", "identifier": {"value": "7"}, "display": NAME}, (), None),
    "words": ({**OWN, "display": NAME.upper()}, {"display": NAME}, (), None),
}


SEARCHES = {
    "plain": (f"{SYSTEM}|{NPI}", "link/Practitioner/staff"),
    "encoded": (f"http%3A%2F%2Fhl7.org%2Ffhir%2Fsid%2Fus-npi%7C{NPI}", "link/Practitioner/staff"),
    "of two": ("urn:local|7", None),
}


@pytest.fixture(scope="module")
def laid() -> Laid:
    """All of them, of a person whose own id is a UUID, as Bundles of transactions have it."""
    given = [
        result(way.replace(" ", "-"), subject=subject, performer=[performer], contained=list(contained))
        for way, (subject, performer, contained, _) in POINTING.items()
    ]
    given += [
        result(way.replace(" ", "-"), subject=OWN, performer=[{"reference": f"Practitioner?identifier={query}"}])
        for way, (query, _) in SEARCHES.items()
    ]
    whom = {"reference": "RelatedPerson/mother", "display": RELATIVE}
    visit = of("Encounter", "visit", subject=OWN, status="finished", participant=[{"individual": whom}])
    twins = [{**STAFF, "id": name, "identifier": [{"system": "urn:local", "value": "7"}]} for name in ("a", "b")]
    me = {"resourceType": "Patient", "id": UUID}
    return Laid([bundle(me, STAFF, *twins, MOTHER, visit | {"class": {"code": "AMB"}}, *given)], (UUID,))


@pytest.mark.parametrize("way", POINTING)
def test_a_person_is_a_key_and_never_a_name(laid: Laid, way: str) -> None:
    found = laid.rows["lab_results", f"{way.replace(' ', '-')}/0"]
    assert found.get("performer_key") == POINTING[way][3]
    assert "canary" not in str(found).lower()


@pytest.mark.parametrize("way", SEARCHES)
def test_a_search_by_identifier_is_the_one_who_has_it(laid: Laid, way: str) -> None:
    found = laid.rows["lab_results", f"{way.replace(' ', '-')}/0"]
    key = SEARCHES[way][1]
    assert (found.get("performer_key"), found.get("performer_display")) == (key, key and "Hedda Nurse")
    assert found.get("remarks") == (None if key else ["unresolved-reference"])


def test_a_relative_who_takes_part_in_a_visit_has_no_name(laid: Laid) -> None:
    found = laid.rows["visit_participants", "visit/0/1"]
    assert (found["individual_key"], found.get("individual_display")) == ("link/RelatedPerson/mother", None)
