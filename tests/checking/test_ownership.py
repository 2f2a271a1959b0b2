"""Whose is it? The person's, another's, nobody's, or not to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from transforms.checking import Owner, Status
from transforms.checking.ownership import INDIRECT, compartment, resolve
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Callable

OWNER = Owner("p-1", "https://fhir.example/r4/")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("Patient/p-1", "this"),
        ("Patient/p-1/_history/3", "this"),
        ("https://fhir.example/r4/Patient/p-1", "this"),
        ("http://FHIR.example/r4/Patient/p-1/_history/3", "this"),
        ("Patient/p-2", "other"),
        ("Patient/p-1x", "other"),
        ("Patient/p-1_2", "other"),  # ids as servers write them: OpenMRS and others go past the standard's
        ("Patient/p-1/_history/v_2", "this"),
        ("https://fhir.example/r4/Patient/p~1:2", "other"),
        ("Patient/" + "x" * 90, "other"),
        ("Patient/a|b", None),
        ("https://fhir.example/r4/Patient/p-2", "other"),
        ("https://other.example/r4/Patient/p-1", "unresolved"),
        ("https://other.example/r4/Patient/p-2", "unresolved"),
        ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "unresolved"),
        ("#patient", "unresolved"),
        ("Patient?identifier=a|b", "unresolved"),
        ("Group/p-1", None),
        ("Practitioner/p-1", None),
    ],
)
def test_what_one_reference_says(reference: str, says: str | None) -> None:
    assert resolve(reference, OWNER) == says


def to(*patients: str) -> list[dict[str, str]]:
    return [{"reference": f"Patient/{name}"} for name in patients]


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        ({"resourceType": "Patient", "id": "p-1"}, None),
        ({"resourceType": "Patient", "id": "p-2"}, "CH207"),
        # the subject decides
        ({"resourceType": "Observation", "subject": to("p-1")[0], "performer": to("p-2")}, None),
        ({"resourceType": "Observation", "subject": to("p-2")[0], "performer": to("p-1")}, "CH207"),
        ({"resourceType": "Coverage", "beneficiary": to("p-1")[0], "subscriber": to("p-2")[0]}, None),
        ({"resourceType": "Coverage", "beneficiary": to("p-2")[0]}, "CH207"),
        ({"resourceType": "RelatedPerson", "patient": to("p-1")[0]}, None),
        ({"resourceType": "RelatedPerson", "patient": to("p-2")[0]}, "CH207"),
        ({"resourceType": "Account", "subject": to("p-2", "p-1")}, None),
        ({"resourceType": "Provenance", "target": to("p-2", "p-1")}, None),
        ({"resourceType": "Provenance", "target": to("p-2")}, "CH207"),
        ({"resourceType": "Provenance", "target": [{"reference": "Observation/o"}]}, None),
        ({"resourceType": "Appointment", "participant": [{"actor": ref} for ref in to("p-2", "p-1")]}, None),
        ({"resourceType": "Appointment", "participant": [{"actor": ref} for ref in to("p-2")]}, "CH207"),
        ({"resourceType": "Task", "for": to("p-2")[0]}, "CH207"),
        # no subject: a minor role may speak for the person, but never against
        ({"resourceType": "Observation", "performer": to("p-1")}, None),
        ({"resourceType": "Observation", "performer": to("p-2")}, "CH242"),
        ({"resourceType": "Observation"}, "CH240"),
        ({"resourceType": "Observation", "subject": {"display": "Someone"}}, "CH240"),
        ({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, "CH240"),
        ({"resourceType": "Observation", "subject": {"reference": "#p"}}, "CH241"),
        # shared types belong to nobody
        ({"resourceType": "Practitioner"}, None),
        ({"resourceType": "PractitionerRole"}, None),
        ({"resourceType": "Organization"}, None),
        ({"resourceType": "Location"}, None),
        ({"resourceType": "Medication"}, None),
        ({"resourceType": "Substance"}, None),
        ({"resourceType": "Questionnaire"}, None),
        ({"resourceType": "Library"}, None),
        ({"resourceType": "Device"}, None),
        ({"resourceType": "Device", "patient": to("p-2")[0]}, "CH207"),
    ],
)
def test_whose_a_resource_is(check: Callable[..., Any], resource: dict[str, Any], rule: str | None) -> None:
    verdict = check({"id": "x"} | resource, OWNER)
    said = [name for name in verdict.rules if name in ("CH207", "CH240", "CH241", "CH242")]
    assert said == ([rule] if rule else [])
    if rule == "CH207":
        assert verdict.status is Status.QUARANTINED


def test_every_type_of_the_compartment_is_told_apart() -> None:
    """What may speak of a patient (the standard's search parameters) is expected to, or is declared not to."""
    owned = {name for name in r4().resources if compartment(name).expected}
    # Canonical resources define things; the standard gives these the same parameters, which find no people.
    definitions = {name for name, found in r4().patient_search.items() if "composed-of" in found}
    about_no_one = {"ImplementationGuide", "MessageHeader", "Patient", "PaymentNotice", "VerificationResult"}
    assert set(r4().patient_search) - owned - definitions == INDIRECT | about_no_one
    assert owned <= set(r4().patient_search)
    assert not owned & definitions
