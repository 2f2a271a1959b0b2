"""What the rules say of the records that phones and servers write, and what a version of them stands for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from transforms.classification import additional, classify, mapping_version, rules, tables_of
from transforms.classification.declaration import declaration, digest
from transforms.tables import tables

ROOT = Path(__file__).parents[2]
FACTS = ROOT.parent / "shared" / "facts" / "health_connect_codes.json"
ODD = ROOT.parent / "shared" / "data" / "odd-records" / "category-other-systems.json"
LOINC = "http://loinc.org"
OWN = "http://terminology.hl7.org/CodeSystem/observation-category"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0074"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
NAMES = {
    "PREGNANCY": "pregnancy",
    "SOCIAL_HISTORY": "social_history",
    "VITAL_SIGNS": "vitals",
    "LABORATORY_RESULTS": "lab_results",
    None: None,
}
DECLARED = {
    "pregnancy intent 86645-9 without category -> unmapped": "loinc-class/social-history",
    "pulse oximetry 59408-5 only, no category -> unmapped": "loinc-class/vital-signs",
    "A1c 4548-4 without category -> unmapped": "loinc-class/laboratory",
    "laboratory code from v2-0074 LAB is not recognised": "category/laboratory",
    "category with trailing slash system is not recognised (exact match)": "category/laboratory",
    "old STU3 category system is not recognised": "category/laboratory",
    "malformed HTI-1/US Core scope-style system is not recognised": "category/social-history",
    "LOINC given as OID is not recognised": "code/vital-signs",
    "category is text only -> unmapped": "category/laboratory",
    "category given as object, not array (DSTU2 shape) -> ignored": "category/laboratory",
    "sdoh us-core-category only -> unmapped": "category/social-history",
}
"""Where a provider's route says more than the phone's, and by which rule."""


def observation(code: Any = None, category: Any = None) -> dict[str, Any]:
    made = {"resourceType": "Observation", "id": "o", "status": "final", "code": code, "category": category}
    return {name: value for name, value in made.items() if value is not None}


def coded(code: str, system: str = LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.shared_data
def test_health_connect_agrees() -> None:
    vectors = json.loads(FACTS.read_text())["test_vectors"]
    assert len(vectors) == 30
    for vector in vectors:
        name, resource, wanted = vector["name"], vector["resource"], NAMES[vector["expected"]]
        assert (name, classify(resource, "phone").category) == (name, wanted)
        told = classify(resource, "direct")
        if name in DECLARED:
            assert (name, told.rule) == (name, DECLARED[name])
        else:
            assert (name, told.category) == (name, wanted)
    assert set(DECLARED) < {vector["name"] for vector in vectors}


@pytest.mark.shared_data
def test_the_declaration_is_health_connects() -> None:
    facts = json.loads(FACTS.read_text())
    known = declaration()
    own = {"PERSONAL_DETAILS": "personal_details", "PRACTITIONER_DETAILS": "practitioner_details"}
    own |= {"ALLERGIES_INTOLERANCES": "allergies"}
    assert known.health_connect_types == {
        kind: own.get(category, category.lower()) for kind, category in facts["resource_type_to_medical_type"].items()
    }
    for rule in facts["observation_rules"]["order"]:
        if rule["type"] is not None:
            kind = next(kind for kind in known.kinds if kind.category == NAMES[rule["type"]])
            assert kind.health_connect_loinc == set(rule["loinc_any_of"])
            asked = rule.get("or_category") or rule.get("category")
            assert kind.health_connect_categories == ({asked} if asked else set())


@pytest.mark.parametrize(
    ("category", "rule"),
    [
        ([coded("LAB", V2)], "category/laboratory"),
        ([coded("HM", "urn:oid:2.16.840.1.113883.12.74")], "category/laboratory"),
        ([coded("HM", "urn:other")], "unknown/observation"),
        ([coded("laboratory", OWN + "/")], "category/laboratory"),
        ([coded("Laboratory", OWN.replace("http", "https"))], "category/laboratory"),
        ([coded("vital-signs", "http://hl7.org/fhir/observation-category")], "category/vital-signs"),
        ([{"coding": [{"code": "social-history"}]}], "category/social-history"),
        ([{"coding": [{"system": "urn:oid:1.2.3", "code": "6", "display": "Lab"}]}], "category/laboratory"),
        ([{"text": " Vital Signs "}], "category/vital-signs"),
        ({"text": "Laboratory"}, "category/laboratory"),
        ("Laboratory", "category/laboratory"),
        ([coded("108252007", "http://snomed.info/sct")], "category/laboratory"),
        ([coded("26436-6")], "category/laboratory"),
        ([coded("survey", OWN), coded("sdoh", US_CORE)], "category/social-history"),
        ([coded("survey", OWN)], "category/survey"),
        ([coded("disability-status", US_CORE)], "category/disability-status"),
        ([coded("RAD", V2)], "category/imaging"),
        ([coded("other", "urn:other")], "unknown/observation"),
        (None, "unknown/observation"),
    ],
)
def test_a_category_is_read_as_servers_write_it(category: Any, rule: str) -> None:
    told = classify(observation({"text": "of the house"}, category), "verified")
    assert told.rule == rule
    assert told.category == rules()[rule].category
    assert classify(observation({"text": "of the house"}, category), "phone").rule == "phone/observation"


@pytest.mark.parametrize(
    ("code", "category", "rule"),
    [
        (coded("718-7"), None, "loinc-class/laboratory"),
        (coded("718-7", "https://loinc.org/"), [{"text": "Results of the house"}], "loinc-class/laboratory"),
        (coded("8331-1", "URN:OID:2.16.840.1.113883.6.1"), None, "loinc-class/vital-signs"),
        (coded("11996-6"), None, "loinc-class/pregnancy"),
        (coded("11367-0"), [], "loinc-class/social-history"),
        (coded("44249-1"), None, "loinc-class/survey"),
        (coded("82810-3", "urn:oid:2.16.840.1.113883.6.1"), [{"text": "Laboratory"}], "code/pregnancy"),
        (coded("718-7", "urn:other"), None, "unknown/observation"),
        # What a category says is not overruled by the class of the code.
        (coded("2106-3"), [coded("procedure", OWN)], "category/procedure"),
        # Health Connect's own rules stand before anything declared.
        (coded("8867-4", "urn:oid:2.16.840.1.113883.6.1"), [coded("laboratory", OWN)], "health-connect/laboratory"),
    ],
)
def test_a_code_is_read_where_the_category_says_nothing(code: Any, category: Any, rule: str) -> None:
    assert classify(observation(code, category), "direct").rule == rule


@pytest.mark.shared_data
def test_the_odd_records_are_laboratory_results() -> None:
    entries = json.loads(ODD.read_text())["entry"]
    told = [classify(entry["resource"], "direct").category for entry in entries[1:]]
    assert told == ["lab_results"] * 6


def test_types() -> None:
    said = {name: classify({"resourceType": name}, "direct").category for name in ("MedicationDispense", "Location")}
    assert said == {"MedicationDispense": "medications", "Location": "visits"}
    assert classify({"resourceType": "MedicationDispense"}, "phone").rule == "phone/type"
    assert classify({"resourceType": "DiagnosticReport"}, "direct").rule == "type/DiagnosticReport"
    assert classify({"resourceType": "Coverage"}, "direct").rule == "unknown/type"


def test_a_row_is_where_its_table_has_the_type() -> None:
    for table in tables():
        for resource in table.resource_types:
            assert tables_of(table.name, resource) == (table.name,)
    assert tables_of("visits", "Location") == ()
    assert tables_of(None, "Observation") == ()


def test_what_is_additional_is_counted_by_type_and_reason() -> None:
    resources = [
        observation(category=[coded("survey", OWN)]),
        observation(category=[coded("survey", OWN)]),
        observation(coded("718-7")),
        {"resourceType": "Coverage"},
    ]
    found = additional((each["resourceType"], classify(each, "direct").rule) for each in resources)
    assert [(each.resource_type, each.rule, each.resources) for each in found] == [
        ("Observation", "category/survey", 2),
        ("Coverage", "unknown/type", 1),
    ]
    assert found[0].reason == rules()["category/survey"].reason


def test_a_version_stands_for_one_mapping() -> None:
    told = json.loads((ROOT / "schemas" / "categories" / "rules.json").read_text())["versions"]
    assert mapping_version() == list(told)[-1] == str(len(told))
    assert told[mapping_version()] == digest(), (
        "the mapping has changed: add a version to schemas/categories/rules.json with this digest, and keep the others"
    )


def test_a_code_is_of_one_class() -> None:
    told = json.loads((ROOT / "schemas" / "categories" / "loinc_classes.json").read_text())["classes"]
    groups = [group for entry in told for group in entry["groups"]]
    codes = Counter(code for group in groups for line in group["codes"] for code in line.split())
    assert [code for code, count in codes.items() if count > 1] == []
    assert [code for code in codes if _check_digit(code.split("-")[0]) != code.split("-")[1]] == []
    assert all(group["source"] for group in groups)


def _check_digit(number: str) -> str:
    """LOINC's own: the digits in odd places from the right, doubled as one number, and the others, added up."""
    doubled = str(int(number[::-2]) * 2)
    total = sum(map(int, doubled)) + sum(map(int, number[-2::-2]))
    return str(-total % 10)
