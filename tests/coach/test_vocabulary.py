"""What people say: read as it is meant, or not at all; and the codes behind it are those that people really have."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from tests.tables.test_independent import files
from transforms.coach import vocabulary
from transforms.coach.vocabulary import KINDS, matters, short_code, understand

SAID = {
    "results": {
        "What's my A1c?": "a1c",
        "HbA1C level": "a1c",
        "hemoglobin": "hemoglobin",
        "SUGAR": "glucose",
        "bad cholesterol": "cholesterol_ldl",
        "choletsterol": "cholesterol_total",
        "triglycerids": "triglycerides",
        "what is my latest blood pressure": "blood_pressure",
        "vit. D": "vitamin_d",
        "lipid panel results": "lipid_panel",
    },
    "vaccines": {
        "When's the last time I got a flu shot?": "flu",
        "tetnus booster": "tetanus",
        "last hep A shot": "hepatitis_a",
        "Shingles vaccine": "zoster",
        "chicken pox": "varicella",
    },
    "medications": {"water pill": "diuretics", "blood thinners": "anticoagulants", "cholesterol medicine": "statins"},
    "conditions": {"high blood pressure": "hypertension", "Sugar diabetes": "diabetes"},
}
NOT_SAID = {
    "results": ("urine glucose", "azúcar en la sangre", "hemoglobina glicosilada", "zzyzx", "血糖", "stroke volume"),
    "vaccines": ("vacuna de la gripe", "cat", "rash"),
}


def test_what_people_say_is_understood_and_nothing_else_is() -> None:
    for kind, several in SAID.items():
        for said, meant in several.items():
            assert [each.id for each in understand(said, (kind,)).matters[:1]] == [meant], said  # type: ignore[arg-type]
    for kind, odd in NOT_SAID.items():
        for said in odd:
            assert understand(said, (kind,)).matters == (), said  # type: ignore[arg-type]


def test_every_matter_has_a_source_and_no_phrase_means_two() -> None:
    for kind in KINDS:
        every = matters(kind)
        assert all(each.source and (each.codes or each.words) for each in every)
        meant = Counter(phrase for each in every for phrase in each.says)
        assert [phrase for phrase, number in meant.items() if number > 1] == []
        for each in every:
            named = (*each.also, *each.parts, *(each.pair or ()))
            assert all(vocabulary.matter(kind, name).kind == kind for name in named)


@pytest.mark.shared_data
def test_codes_are_those_that_people_have() -> None:
    """Of the commonest matters some code is on record, and every vaccination of theirs is known by its CVX."""
    found: set[str] = set()
    vaccines: set[str] = set()
    for _, file in list(files())[::3]:
        for entry in json.loads(gzip.decompress(file.read_bytes()))["entry"]:
            each = entry["resource"]
            parts = (each, *each.get("component", ()))
            concepts = [part.get("code", part.get("vaccineCode")) for part in parts]
            if each["resourceType"] not in ("Observation", "Immunization", "Condition"):
                continue
            codes = {
                short_code(coding.get("system"), coding.get("code"))
                for concept in concepts
                for coding in concept.get("coding", ())
            }
            found |= {code for code in codes if code}
            if each["resourceType"] == "Immunization":
                vaccines |= {code for code in codes if code}
    common = (
        "a1c", "glucose", "cholesterol_total", "cholesterol_ldl", "cholesterol_hdl", "triglycerides", "blood_pressure",
        "body_weight", "body_mass_index", "creatinine", "egfr", "hemoglobin", "potassium", "heart_rate", "platelets",
    )  # fmt: skip
    assert [name for name in common if not vocabulary.matter("results", name).codes & found] == []
    assert vaccines <= vocabulary.claimed("vaccines").keys()
    conditions = ("hypertension", "diabetes", "prediabetes", "high_cholesterol", "anemia")
    assert [name for name in conditions if not vocabulary.matter("conditions", name).codes & found] == []
