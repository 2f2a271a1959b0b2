"""An Observation lands in the table that the rules name, and in one at most; the published views say the same."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from transforms.classification import classify
from transforms.sql_on_fhir import run_view

VIEWS = Path(__file__).parents[2] / "schemas" / "views"
LOINC = "http://loinc.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
TOLD = json.loads((Path(__file__).parents[2] / "schemas" / "categories" / "rules.json").read_text())
RULES = TOLD["health_connect"]["rules"]


def expected(resource: dict[str, Any]) -> set[str]:
    """The table that the rules name: tests/classification holds them against their sources."""
    category = classify(resource, "direct").category
    return {category} if category else set()


def observation(number: int, codings: list[dict[str, str]], categories: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": codings},
        "category": [{"coding": [coding]} for coding in categories],
        "valueInteger": 1,
    }


def test_every_combination_lands_where_the_rule_says(categories: Any, lake: Any) -> None:
    codes = [{"system": LOINC, "code": code} for rule in RULES for code in rule["loinc"]]
    codes += [{"system": "urn:other", "code": "82810-3"}, {"code": "72166-2"}, {"system": LOINC, "code": "718-7"}]
    groups = [{"system": CATEGORY, "code": code} for rule in RULES for code in rule["categories"]]
    groups += [{"system": CATEGORY, "code": "survey"}, {"system": CATEGORY + "/", "code": "laboratory"}]
    chosen = [([code], list(some)) for code in codes for some in itertools.combinations(groups, 2)]
    chosen += [([code], [group]) for code in codes for group in groups] + [([code], []) for code in codes]
    chosen += [([], [group]) for group in groups]
    chosen += [(list(pair), [group]) for pair in itertools.combinations(codes[::3], 2) for group in groups]
    resources = [observation(number, *each) for number, each in enumerate(chosen)]
    wanted = {each["id"]: expected(each) for each in resources if expected(each)}
    published = {
        row["id"]: {name}
        for name in ("lab_results", "pregnancy", "social_history", "vitals")
        for row in run_view(json.loads((VIEWS / f"{name}.json").read_text()), resources, lake).to_pylist()
    }
    assert published == wanted
    assert categories(resources) == wanted


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
