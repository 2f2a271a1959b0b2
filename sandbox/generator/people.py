"""Patients, and the clinics that see them: organizations, practitioners with their roles, locations."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Final

from sandbox.generator.chart import TODAY, Chart, Clinic, new_id, zone_for
from sandbox.generator.vocabulary import FAMILY, GIVEN, PLACES, RACES, US_CORE, Json, hl7, system

CLINIC_PEOPLE: Final = 40
"""People who share a clinic."""


def make_clinic(seed: int, number: int) -> tuple[Clinic, list[Json]]:
    """The clinic of this number: itself as references, and its resources."""
    random = Random(f"clinic {seed} {number}")
    city, state, zip_code = PLACES[number % len(PLACES)]
    name = f"{city} {('Family Health', 'Medical Center', 'Community Clinic')[number % 3]}"
    organization_id = new_id(random)
    organization = {"reference": f"Organization/{organization_id}", "display": name}
    address = {"line": [f"{100 + number} Main Street"], "city": city, "state": state, "postalCode": zip_code}
    resources: list[Json] = [
        {
            "resourceType": "Organization",
            "id": organization_id,
            "meta": {"profile": [US_CORE + "us-core-organization"]},
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": f"{1_200_000_000 + number:010}"}],
            "active": True,
            "type": [hl7("organization-type", "prov")],
            "name": name,
            "telecom": [{"system": "phone", "value": f"555-01{number % 100:02}"}],
            "address": [address | {"country": "US"}],
        }
    ]
    locations = []
    for place in ("Main building", "Emergency department"):
        identity = new_id(random)
        locations.append({"reference": f"Location/{identity}", "display": f"{name}, {place}"})
        resources.append(
            {
                "resourceType": "Location",
                "id": identity,
                "status": "active",
                "name": f"{name}, {place}",
                "mode": "instance",
                "address": address,
                "managingOrganization": organization,
            }
        )
    practitioners = []
    for index in range(4):
        sex = random.choice(("female", "male"))
        given, family = random.choice(GIVEN[sex]), random.choice(FAMILY)
        identity, role = new_id(random), new_id(random)
        reference = {"reference": f"Practitioner/{identity}", "display": f"Dr. {given} {family}"}
        practitioners.append(reference)
        npi = f"{1_500_000_000 + number * 10 + index:010}"
        resources.append(
            {
                "resourceType": "Practitioner",
                "id": identity,
                "meta": {"profile": [US_CORE + "us-core-practitioner"]},
                "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi}],
                "active": True,
                "name": [{"family": family, "given": [given], "prefix": ["Dr."]}],
                "gender": sex,
            }
        )
        resources.append(
            {
                "resourceType": "PractitionerRole",
                "id": role,
                "practitioner": reference,
                "organization": organization,
                "location": [locations[0]],
                "code": [
                    {"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": "207Q00000X"}], "text": "GP"}
                ],
            }
        )
    clinic = Clinic(organization, tuple(practitioners), tuple(locations), (city, state, zip_code))
    return clinic, resources


def open_chart(seed: int, number: int, clinic: Clinic) -> Chart:
    """The person of this number: an adult in the United States, with the Patient resource in the chart."""
    random = Random(f"person {seed} {number}")
    sex = random.choice(("female", "male"))
    birth = date(TODAY.year - 18, TODAY.month, 1) - timedelta(days=random.randrange(62 * 365))
    identity = new_id(random)
    patient = {"reference": f"Patient/{identity}"}
    chart = Chart(random, identity, sex, birth, clinic, patient, zone_for(random))
    given, family = random.choice(GIVEN[sex]), random.choice(FAMILY)
    city, state, zip_code = clinic.city
    race = random.choice(RACES)
    ethnicity = ("2135-2", "Hispanic or Latino") if chart.chance(0.2) else ("2186-5", "Not Hispanic or Latino")
    content: Json = {
        "resourceType": "Patient",
        "id": identity,
        "meta": {"profile": [US_CORE + "us-core-patient"]},
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{given} {family}</div>'.replace("'", "&#39;"),
        },
        "extension": [_omb("us-core-race", race), _omb("us-core-ethnicity", ethnicity)],
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": system("v2-0203"), "code": "MR"}], "text": "Medical Record Number"},
                "system": "urn:oid:2.16.840.1.113883.19.5",
                "value": f"{seed}-{number:07}",
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [given, random.choice(GIVEN[sex])[0] + "."]}],
        "telecom": [
            {"system": "phone", "value": f"555-{random.randrange(100, 1000)}-{random.randrange(10_000):04}"},
            {"system": "email", "value": f"person{number}.{seed}@example.org"},
        ],
        "gender": sex,
        "birthDate": birth.isoformat(),
        "address": [
            {
                "use": "home",
                "line": [f"{random.randrange(1, 999)} {random.choice(FAMILY)} Avenue"],
                "city": city,
                "state": state,
                "postalCode": zip_code,
                "country": "US",
            }
        ],
        "communication": [
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en-US"}], "text": "English"}}
        ],
        "generalPractitioner": [clinic.practitioners[number % len(clinic.practitioners)]],
        "managingOrganization": clinic.organization,
    }
    if chart.chance(0.1):
        content["name"].append({"use": "old", "family": random.choice(FAMILY), "period": {"end": "2012-04"}})
    chart.resources.append(content)
    return chart


def _omb(name: str, code: tuple[str, str]) -> Json:
    """The race and ethnicity extensions of US Core."""
    value = {"system": "urn:oid:2.16.840.1.113883.6.238", "code": code[0], "display": code[1]}
    return {
        "url": US_CORE + name,
        "extension": [{"url": "ombCategory", "valueCoding": value}, {"url": "text", "valueString": code[1]}],
    }
