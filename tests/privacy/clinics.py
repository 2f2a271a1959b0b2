"""Three people with unmistakable strings in every field, at two clinics that share a doctor and a patient's id."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.partners.odd_server import FhirServer, Reply, as_json, packed

if TYPE_CHECKING:
    from tests.partners.odd_server import Asked

LABORATORY = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
SAME_ID = "patient-0001-of-two"
"""The id of A's Patient at the south clinic, and of B's at the north one."""
PATIENTS = {
    ("A", "north"): "CANARY-A-north-patient",
    ("A", "south"): SAME_ID,
    ("B", "north"): SAME_ID,
    ("B", "south"): "CANARY-B-south-patient",
    ("C", "north"): "CANARY-C-north-patient",
}
SHARED = [
    {
        "resourceType": "Practitioner",
        "id": "doctor-of-everybody-77",
        "name": [{"family": "Featherstonehaugh", "given": ["Wilhelmina"]}],
        "telecom": [{"system": "phone", "value": "+1-555-0177-7700"}],
    },
    {"resourceType": "Organization", "id": "clinic-of-everybody-88", "name": "Saint Swithin Infirmary of Everybody"},
]


def sign(person: str, clinic: str, what: str) -> str:
    """A string that is this person's alone."""
    return f'CANARY-{person}-{clinic}-{what} “é"\\ü” {person * 7}'


def resources(person: str, clinic: str, *, later: bool = False) -> list[dict[str, Any]]:
    """Everything that a clinic has of somebody; what came `later` in addition."""
    patient = PATIENTS[person, clinic]
    subject = {"reference": f"Patient/{patient}"}

    def s(what: str) -> str:
        return sign(person, clinic, what)

    def key(what: str) -> str:
        return f"CANARY-{person}-{clinic}-{what}"

    letter = s("letter-in-an-attachment") + " and so it went on. " * 40
    found: list[dict[str, Any]] = [
        {
            "resourceType": "Patient",
            "id": patient,
            "meta": {"lastUpdated": "2024-05-01T10:00:00Z", "tag": [{"system": "urn:x", "code": key("tag")}]},
            "identifier": [{"system": f"urn:{key('system')}", "value": key("mrn")}],
            "name": [{"family": s("family"), "given": [s("given")]}],
            "telecom": [
                {"system": "phone", "value": s("phone")},
                {"system": "email", "value": key("mail") + "@x.example"},
            ],
            "address": [{"line": [s("street")], "city": s("city"), "postalCode": key("postcode")}],
            "birthDate": "1980-02-03",
            "text": {
                "status": "generated",
                "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{key("narrative")}</div>',
            },
        },
        {
            "resourceType": "Condition",
            "id": key("condition"),
            "subject": subject,
            "code": {"text": s("disease"), "coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
            "note": [{"text": s("note") + "\n" + "long " * 20_000 + key("note-ends")}],
            "recordedDate": "2024-01-02",
        },
        {
            "resourceType": "DocumentReference",
            "id": key("document"),
            "status": "current",
            "subject": subject,
            "content": [
                {
                    "attachment": {
                        "contentType": "text/plain",
                        "title": s("title"),
                        "data": base64.b64encode(letter.encode()).decode(),
                    }
                }
            ],
        },
        {"resourceType": "Immunization", "subject": subject, "patient": subject, "note": [{"text": s("no-id")}]},
        *SHARED,
    ]
    return found + [
        {
            "resourceType": "Observation",
            "id": key(f"observation-{number}"),
            "meta": {"lastUpdated": f"2024-05-01T10:{number:02d}:00Z"},
            "status": "final",
            "category": [{"coding": [LABORATORY]}],
            "subject": subject,
            "performer": [{"reference": f"Practitioner/{SHARED[0]['id']}", "display": "Featherstonehaugh"}],
            "code": {"text": s(f"test-{number}"), "coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
            "effectiveDateTime": f"2024-01-{number + 1:02d}",
            "valueString": s(f"value-{number}"),
            "interpretation": [{"text": "ordinary glucose result of the week"}],
        }
        for number in range(4 if later else 3)
    ]


TYPES = (
    "Patient", "Condition", "DocumentReference", "Immunization", "Observation", "Practitioner", "Organization"
)  # fmt: skip


class Clinic(FhirServer):
    """Serves whoever's token it is (`token-<person>`) what it has of them."""

    def __init__(self, name: str) -> None:
        super().__init__([], page=50)
        self.name = name
        self.later = False
        self.offers = {kind: {} for kind in TYPES}

    def _route(self, asked: Asked) -> Reply:
        for rule in list(self.rules):
            reply = rule(asked)
            if reply is not None:
                return reply
        words = asked.path.strip("/").split("/")[1:]
        if words == ["metadata"]:
            return as_json(self.metadata())
        person = (asked.headers.get("Authorization") or "").removeprefix("Bearer token-")[:1]
        if (person, self.name) not in PATIENTS:
            return as_json({"resourceType": "OperationOutcome", "issue": []}, 401)
        had = [each for each in resources(person, self.name, later=self.later) if each["resourceType"] == words[0]]
        if len(words) == 2:
            had = [each for each in had if each.get("id") == words[1]]
            return as_json(had[0]) if had else as_json({"resourceType": "OperationOutcome"}, 404)
        if ids := asked.one("_id"):
            had = [each for each in had if each.get("id") in ids.split(",")]
        entries = [{"resource": each, "search": {"mode": "match"}} for each in had]
        return packed(as_json({"resourceType": "Bundle", "type": "searchset", "entry": entries}))


class Tokens:
    """What somebody signed in with."""

    refresh_token, expires_at, scope, patient, refresh_expires_at = None, None, None, None, None

    def __init__(self, person: str) -> None:
        self.access_token = f"token-{person}-CANARY-{person}-secret"


def texts(person: str, clinic: str) -> set[str]:
    """Some of the texts that only this person has at this clinic, to look for one by one."""
    said = json.dumps(resources(person, clinic, later=True))
    assert "CANARY" in said
    return {sign(person, clinic, what) for what in ("family", "street", "note", "value-1", "no-id", "title", "phone")}
