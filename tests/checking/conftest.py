"""A whole resource of several types, made here: the starting point of the tests that break them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transforms.checking import Checker, Owner, Verdict

PATIENT = "p-1"


@pytest.fixture(scope="session")
def checker() -> Checker:
    return Checker()


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner(PATIENT, "https://fhir.example/r4")


@pytest.fixture
def observation() -> dict[str, Any]:
    """An Observation that uses most of what JSON permits: contained, `_name`, extensions, components, a version."""
    return {
        "resourceType": "Observation",
        "id": "o-1",
        "meta": {"lastUpdated": "2026-01-02T03:04:05.678+01:00", "profile": ["http://example.org/a", "http://x/b|1"]},
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Text</div>'},
        "contained": [{"resourceType": "Device", "id": "d", "status": "active"}],
        "extension": [
            {"url": "http://example.org/x", "extension": [{"url": "a", "valueCode": "b"}]},
            {
                "id": "e",
                "url": "http://example.org/y",
                "_valueString": {"extension": [{"url": "u", "valueBoolean": True}]},
            },
        ],
        "status": "final",
        "category": [{"coding": [{"system": "http://example.org/c", "code": "laboratory"}]}],
        "code": {"text": "Glucose"},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "effectiveDateTime": "2026-01",
        "_issued": {"extension": [{"url": "http://example.org/absent", "valueCode": "unknown"}]},
        "performer": [{"reference": "https://fhir.example/r4/Practitioner/d1/_history/2"}, {"display": "Lab"}],
        "valueQuantity": {"value": 5.40, "unit": "mmol/L"},
        "device": {"reference": "#d"},
        "component": [{"code": {"text": "Part"}, "valueInteger": 7}],
    }


@pytest.fixture
def check(checker: Checker, owner: Owner) -> Any:
    """Check a resource given as an object or as bytes."""

    def run(resource: object, of: Owner = owner) -> Verdict:
        return checker.check(resource if isinstance(resource, bytes) else json.dumps(resource).encode(), of)

    return run
