"""A small provider with one person's records, and settings that do not let a test wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from charthouse.settings import Settings
from tests.partners.odd_server import FhirServer

if TYPE_CHECKING:
    from collections.abc import Iterator


def observation(number: int, category: str = "laboratory", **more: Any) -> dict[str, Any]:
    """An Observation that says when it was updated: one minute after the one before."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"lastUpdated": f"2024-05-01T10:{number:02d}:00Z"},
        "category": [{"coding": [{"code": category}]}],
        "subject": {"reference": "Patient/canary-patient"},
        **more,
    }


def records() -> list[dict[str, Any]]:
    """One person: 5 Observations on 3 pages, 1 Condition, an Encounter that points at others, which point at others."""
    return [
        {"resourceType": "Patient", "id": "canary-patient", "generalPractitioner": [{"reference": "Practitioner/p1"}]},
        *(observation(number) for number in range(5)),
        {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/canary-patient"}},
        {
            "resourceType": "Encounter",
            "id": "e1",
            "subject": {"reference": "Patient/canary-patient"},
            "participant": [{"individual": {"reference": "PractitionerRole/r1"}}],
            "location": [{"location": {"reference": "Location/l1/_history/2"}}],
            "serviceProvider": {"reference": "Organization/gone"},
        },
        {"resourceType": "Practitioner", "id": "p1"},
        {"resourceType": "Practitioner", "id": "p2"},
        {"resourceType": "Practitioner", "id": "nobody-points-at-me"},
        {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/p2"}},
        {"resourceType": "Location", "id": "l1", "managingOrganization": {"reference": "Organization/g1"}},
        {"resourceType": "Organization", "id": "g1", "partOf": {"reference": "Organization/g2"}},
        {"resourceType": "Organization", "id": "g2"},
    ]


@pytest.fixture
def provider() -> Iterator[FhirServer]:
    """A provider that holds `records()` and serves two entries a page."""
    with FhirServer(records()) as server:
        yield server


@pytest.fixture
def quick() -> Settings:
    """Short waits, many requests a second, and nothing asked twice: the records are minutes apart."""
    return Settings(
        request_timeout=2.0, retry_wait_max=0.02, request_tries=2, requests_per_second=5000, overlap_seconds=0
    )
