"""The value sets are sound as data, and name the codes that published people really have."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pytest

from transforms.tables.value_sets import LOINC, value_sets, value_sets_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
FILES = sorted((ROOT / "schemas" / "value_sets").glob("*.json"))
CVX, RXNORM, SNOMED = (
    "http://hl7.org/fhir/sid/cvx",
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    "http://snomed.info/sct",
)
NAMED = {
    "a1c": r"hemoglobin a1c",
    "glucose": r"glucose(?!.*(urine|presence))",
    "cholesterol_total": r"^(total )?cholesterol( \[|$)",
    "cholesterol_hdl": r"(high density|hdl)",
    "cholesterol_ldl": r"(low density|ldl)",
    "triglycerides": r"triglycerides",
    "flu_vaccines": r"^influenza(?!.*virus)",
    "statins": r"statin\b",
    "systolic_pressure": r"systolic(?!.*panel)",
    "diastolic_pressure": r"diastolic(?!.*panel)",
    "blood_pressure": r"blood pressure( panel.*)?$",
    "body_weight": r"^body weight",
    "body_height": r"^body height",
    "body_mass_index": r"body mass index(?!.*percentile)",
    "heart_rate": r"^heart rate$",
    "oxygen_saturation": r"^oxygen saturation",
    "egfr": r"glomerular filtration",
    "creatinine": r"^creat(?!.*(kinase|urine))",
}
"""How the publishers of the people call what a value set holds."""
SIDES = re.compile("^(mean|systolic|diastolic)", re.IGNORECASE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_value_set_says_what_it_is_and_where_it_comes_from(file: Path) -> None:
    declared = json.loads(file.read_text(encoding="utf-8"))
    assert declared["title"]
    assert declared["description"].endswith(".")
    assert declared["sources"]
    members = [member for member in value_sets() if member.value_set == file.stem]
    assert len({(member.system, member.code) for member in members}) == len(members) > 0
    assert {"title", "description", "sources", "analytes", "codes"} >= set(declared)
    assert {member.system for member in members} <= {LOINC, SNOMED, CVX, RXNORM}
    assert all(re.fullmatch(r"\d+-\d", member.code) for member in members if member.system == LOINC)
    assert all(_is_loinc(member.code) for member in members if member.system == LOINC)


def _is_loinc(code: str) -> bool:
    """Whether the digit behind the hyphen is the check digit of the others (LOINC Users' Guide, Luhn's)."""
    number, _, check = code.partition("-")
    digits = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(number))]
    return (10 - sum(digit // 10 + digit % 10 for digit in digits) % 10) % 10 == int(check)


def test_the_view_has_them_all_and_names_no_table() -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(value_sets_sql()).fetchall()
    assert [row[:4] for row in rows] == [(each.value_set, each.title, each.system, each.code) for each in value_sets()]


@pytest.mark.shared_data
def test_published_people_have_the_codes() -> None:
    """What is called so has a code of the value set, and what has such a code is called so."""
    known: dict[str, set[str]] = {}
    for member in value_sets():
        known.setdefault(member.value_set, set()).add(member.code)
    sent = _sent()
    wrong = []
    for name, pattern in NAMED.items():
        called = {key for key in sent if re.search(pattern, key[2], re.IGNORECASE) and _fits(name, key)}
        assert called, name
        wrong += [(name, key) for key in called if key[1] not in known[name]]
        wrong += [(name, key) for key in sent if key[1] in known[name] and _fits(name, key) and key not in called]
    assert wrong == []


def _fits(name: str, key: tuple[str, str, str]) -> bool:
    system = CVX if name.endswith("vaccines") else RXNORM if name == "statins" else LOINC
    return key[0] == system and not (name == "blood_pressure" and SIDES.match(key[2]))


def _sent() -> Counter[tuple[str, str, str]]:
    found: Counter[tuple[str, str, str]] = Counter()
    for resource in _resources():
        concepts = [resource.get(name) for name in ("code", "vaccineCode", "medicationCodeableConcept")]
        concepts += [each["code"] for each in resource.get("component", [])]
        for concept in concepts:
            for coding in (concept or {}).get("coding", []):
                if {"system", "code", "display"} <= coding.keys():
                    found[coding["system"], coding["code"], coding["display"]] += 1
    return found


def _resources() -> Iterator[dict[str, Any]]:
    for folder in ("synthea-r4", "synthea-us-core"):
        for file in sorted((SHARED / folder).glob("*.json.gz")):
            for entry in orjson.loads(gzip.decompress(file.read_bytes()))["entry"]:
                if entry["resource"]["resourceType"] in {"Observation", "Immunization", "MedicationRequest"}:
                    yield entry["resource"]
