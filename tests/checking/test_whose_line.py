"""Whose a line of an export or a stream is: the same for few patients and for many, however it is written."""

from __future__ import annotations

import json

import pytest

from transforms.ndjson import TornLineError, owners

BASES = ("https://fhir.example/r4",)
FEW, MANY = ["p1", "p2"], [f"p{number}" for number in range(50)]
HERS = {"reference": "Patient/p1"}

LINES: dict[str, tuple[object, set[str]]] = {
    "its subject": ({"resourceType": "Observation", "id": "a", "subject": HERS}, {"p1"}),
    "its patient": ({"resourceType": "Immunization", "id": "a", "patient": HERS}, {"p1"}),
    "the other element": ({"resourceType": "Immunization", "id": "a", "subject": HERS}, set()),
    "escaped": ('{"resourceType":"Condition","id":"a","subject":{"reference":"Patient\\/p1"}}', {"p1"}),
    "the last of two": (
        '{"resourceType":"Goal","subject":{"reference":"Patient/p2"},"subject":{"reference":"Patient/p1"}}',
        {"p1"},
    ),
    "absolute": (
        {"resourceType": "Observation", "subject": {"reference": "http://FHIR.example/r4/Patient/p1/_history/3"}},
        {"p1"},
    ),
    "another server's": (
        {"resourceType": "Observation", "subject": {"reference": "https://else.example/Patient/p1"}},
        set(),
    ),
    "who measured it": ({"resourceType": "Observation", "subject": {}, "performer": [HERS]}, set()),
    "in what is contained": ({"resourceType": "Observation", "contained": [{"subject": HERS}]}, set()),
    "several": ({"resourceType": "Observation", "subject": [HERS]}, {"p1"}),
    "no text": ({"resourceType": "Observation", "subject": {"reference": ["Patient/p1"]}}, set()),
    "beyond ASCII": ({"resourceType": "Observation", "subject": HERS | {"display": "Zoë"}}, {"p1"}),
    "deeper": ({"resourceType": "Appointment", "participant": [{"actor": HERS}]}, {"p1"}),
    "a beneficiary": ({"resourceType": "Coverage", "beneficiary": HERS}, {"p1"}),
    "a longer id": ({"resourceType": "Observation", "subject": {"reference": "Patient/p11"}}, set()),
    "nobody's type": ({"resourceType": "Practitioner", "id": "p1"}, set()),
    "no type": ({"subject": HERS}, set()),
}


@pytest.mark.parametrize("case", LINES)
def test_it_is_told_by_the_elements_that_name_its_subject(case: str) -> None:
    said, whose = LINES[case]
    line = said.encode() if isinstance(said, str) else json.dumps(said, ensure_ascii=False).encode()
    assert owners(line, FEW, BASES) == whose
    assert owners(line, MANY, BASES) - {"p11"} == whose


@pytest.mark.parametrize(
    "torn",
    [
        b'{"resourceType":"Observation","subject":{"reference":"Patient/p1"}',
        b'{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"note":tru}',
        b'{"resourceType":"Observation","subject":{"reference":"Patient/p1"},"note":"\xff"}',
        b'{"resourceType":"Coverage","beneficiary":{"reference":"Patient/p1"},}',
    ],
)
def test_what_is_no_json_is_torn_and_nobodys(torn: bytes) -> None:
    for patients in (FEW, MANY):
        with pytest.raises(TornLineError):
            owners(torn, patients, BASES)
    assert owners(torn, ["somebody-else"], BASES) == set()
