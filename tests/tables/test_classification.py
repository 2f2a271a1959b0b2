"""An Observation lands in the table that Health Connect's rule names, and in one at most."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

LOINC = "http://loinc.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
TOLD = json.loads((Path(__file__).parents[2] / "schemas" / "categories" / "rules.json").read_text())
TABLES = {kind["kind"]: kind["category"] for kind in TOLD["kinds"]}
RULES = [{**rule, "table": TABLES[rule["kind"]]} for rule in TOLD["health_connect"]["rules"]]
FACTS = Path(__file__).parents[3] / "shared" / "facts" / "health_connect_codes.json"
NAMES = {
    "PREGNANCY": "pregnancy",
    "SOCIAL_HISTORY": "social_history",
    "VITAL_SIGNS": "vitals",
    "LABORATORY_RESULTS": "lab_results",
}


def expected(resource: dict[str, Any]) -> set[str]:
    """The rule, written a second time from its description."""
    code = resource.get("code")
    codings = code.get("coding", []) if isinstance(code, dict) else []
    loinc = {coding.get("code") for coding in codings if coding.get("system") == LOINC}
    groups = resource.get("category") if isinstance(resource.get("category"), list) else []
    coded = [coding for group in groups for coding in group.get("coding", [])]
    kinds = {coding.get("code") for coding in coded if coding.get("system") == CATEGORY}
    for rule in RULES:
        if loinc & set(rule["loinc"]) or kinds & set(rule["categories"]):
            return {rule["table"]}
    return set()


def observation(number: int, codings: list[dict[str, str]], categories: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": codings},
        "category": [{"coding": [coding]} for coding in categories],
        "valueInteger": 1,
    }


def test_every_combination_lands_where_the_rule_says(categories: Any) -> None:
    codes = [{"system": LOINC, "code": code} for rule in RULES for code in rule["loinc"]]
    codes += [{"system": "urn:other", "code": "82810-3"}, {"code": "72166-2"}, {"system": LOINC, "code": "718-7"}]
    groups = [{"system": CATEGORY, "code": code} for rule in RULES for code in rule["categories"]]
    groups += [{"system": CATEGORY, "code": "survey"}, {"system": CATEGORY + "/", "code": "laboratory"}]
    chosen = [([code], list(some)) for code in codes for some in itertools.combinations(groups, 2)]
    chosen += [([code], [group]) for code in codes for group in groups] + [([code], []) for code in codes]
    chosen += [([], [group]) for group in groups]
    chosen += [(list(pair), [group]) for pair in itertools.combinations(codes[::3], 2) for group in groups]
    resources = [observation(number, *each) for number, each in enumerate(chosen)]
    published = {
        row["id"]: {name}
        for name in NAMES.values()
        for row in run_view(json.loads((VIEWS / f"{name}.json").read_text()), resources, lake).to_pylist()
    }
    assert published == {each["id"]: expected(each) for each in resources if expected(each)}
    assert categories(resources) == {each["id"]: expected(each) for each in resources if expected(each)}


def test_what_does_not_fit_its_type_belongs_nowhere_and_breaks_nothing(categories: Any) -> None:
    good = observation(1, [{"system": LOINC, "code": "8867-4"}], [])
    odd = [
        {**good, "id": "o2", "code": "8867-4"},
        {**good, "id": "o3", "code": {"coding": {"system": LOINC, "code": "8867-4"}}},
        {**good, "id": "o4", "code": {}, "category": "vital-signs"},
        {"resourceType": "Observation", "id": "o5", "status": "final"},
    ]
    landed = categories([good, *odd])
    assert landed.pop("o1") == {"vitals"}
    assert {name for names in landed.values() for name in names} <= {"vitals"}


@pytest.mark.shared_data
def test_health_connect_agrees(categories: Any) -> None:
    vectors = json.loads(FACTS.read_text())["test_vectors"]
    resources, wanted = [], {}
    for number, vector in enumerate(vectors):
        resource = {**vector["resource"], "id": f"v{number}"}
        if resource.get("resourceType") != "Observation":
            continue
        resources.append(resource)
        if vector["expected"] in NAMES:
            wanted[f"v{number}"] = {NAMES[vector["expected"]]}
    assert len(wanted) >= 15
    assert categories(resources) == wanted
