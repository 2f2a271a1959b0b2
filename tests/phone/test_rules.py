"""The rules of Health Connect: thirty vectors of its categories, its gate in its order, the limits of its structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.phone_store import type_of
from tests.phone.conftest import CATEGORY, measured, patient, vaccine
from transforms.health_connect import MEDICAL_TYPES, Gate, Passed, fhir_types, medical_type, permission_of

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_bytes())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_category_of_an_observation(vector: dict[str, Any]) -> None:
    assert len(VECTORS) == 30
    assert medical_type(vector["resource"]) == vector["expected"]
    verdict = Gate("4.0.1").judge(json.dumps(vector["resource"]))
    said = verdict.medical_type if isinstance(verdict, Passed) else verdict.why
    broken = {"structure"} if isinstance(vector["resource"].get("category", []), dict) else set()
    assert said in {vector["expected"] or "no_category", *broken}


def test_what_the_phone_stops_reading_at() -> None:
    """A category that is no object ends the list; a coding that is none ends its concept."""
    vital = {"coding": [{"system": CATEGORY, "code": "vital-signs"}]}
    odd: dict[str, Any] = {"resourceType": "Observation", "category": ["x", vital]}
    assert medical_type(odd) is None
    assert medical_type({"resourceType": "Observation", "category": [vital, "x"]}) == "VITAL_SIGNS"
    loinc = {"system": "http://loinc.org"}
    codes = [{"code": "8867-4"}, loinc | {"code": "8867-4"}, "x"]
    assert medical_type({"resourceType": "Observation", "code": {"coding": codes}}) == "VITAL_SIGNS"
    assert medical_type({"resourceType": "Observation", "code": {"coding": ["x", *codes]}}) is None
    assert medical_type({"resourceType": "Observation", "code": [{"coding": codes}]}) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not_json"),
        ('"text"', "not_json"),
        ("{}", "id_missing"),
        ('{"id": null, "contained": [1]}', "id_not_text"),
        ('{"id": ""}', "type_missing"),
        ('{"id": "", "resourceType": "Nothing", "contained": [1]}', "id_empty"),
        ('{"id": "a", "resourceType": "Nothing", "contained": [1]}', "contained"),
        ('{"id": "a", "resourceType": "Nothing", "contained": "x"}', "contained"),
        ('{"id": "a", "resourceType": "Nothing", "contained": []}', "type_unknown"),
        ('{"id": "a", "resourceType": "Observation", "odd": 1}', "structure"),
        (json.dumps(measured("o", "exam", "1-8", 1)), "no_category"),
        (json.dumps(patient() | {"contained": []}), None),
    ],
)
def test_the_gate_asks_in_the_order_of_the_platform(text: str, why: str | None) -> None:
    verdict = Gate("4.0.1").judge(text)
    assert (None if isinstance(verdict, Passed) else verdict.why) == why
    if why not in {"not_json", "id_missing", "id_not_text", "type_missing", "id_empty"}:
        verdict = Gate("5.0.0").judge(text)
        assert not isinstance(verdict, Passed)
        assert verdict.why == "version"


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"url": "http://x", "valueString": "y"}
    for _ in range(depth - 1):
        inner = {"url": "http://x", "extension": [inner]}
    return vaccine("x", extension=[inner])


XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def narrative(inside: str) -> dict[str, Any]:
    return vaccine("x", text={"status": "generated", "div": XHTML.format(inside)})


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        (vaccine("x"), True),
        (vaccine("x" * 64), True),
        (vaccine("x" * 65), False),
        (vaccine("under_score"), False),
        (vaccine("x", status="not-a-code-of-r4"), True),  # bindings are not looked at
        (vaccine("x", status=" completed"), False),
        (vaccine("x", patient={"reference": "Device/7"}), True),  # nor are targets
        (vaccine("x", lotNumber=""), False),
        (vaccine("x", lotNumber="no-break\u00a0space"), True),
        (vaccine("x", lotNumber=None), False),
        (vaccine("x", expirationDate="0000-01-01"), False),
        (vaccine("x", expirationDate="2024-13-01"), False),
        (vaccine("x", occurrenceDateTime="2024-10-01T08:00:60Z"), True),
        (vaccine("x", occurrenceDateTime="2024-10-01T08:00:00"), False),
        (vaccine("x", _occurrenceString={"id": "a"}), False),  # two of one choice
        (vaccine("x", primarySource="true"), False),
        (vaccine("x", note=[]), False),
        (vaccine("x", note=[{}]), False),
        (vaccine("x", note={"text": "x"}), False),
        (vaccine("x", reaction=[{"detail": {"reference": "Observation/1"}}]), True),
        (vaccine("x", isSubpotent=True, _isSubpotent={"id": "a"}), True),
        ({key: value for key, value in vaccine("x", _status={"id": "s"}).items() if key != "status"}, True),
        ({key: value for key, value in vaccine("x").items() if key != "vaccineCode"}, False),
        (nested(20), True),
        (nested(21), False),
        (patient() | {"photo": [{"data": "QUJD"}]}, True),
        (patient() | {"photo": [{"data": "QU/D"}]}, False),  # R4 forgot the slash, and so does the phone
        (patient() | {"name": [{"given": ["A", None], "_given": [None, {"id": "x"}]}]}, True),
        (patient() | {"multipleBirthInteger": 2}, True),
        (patient() | {"multipleBirthInteger": 2**31}, False),
        (narrative("<p class='a'>fine<br/></p>"), True),
        (narrative("<script>x</script>"), False),
        (narrative("<p onclick='x'>x</p>"), False),
        (narrative("<?php x ?>"), False),
        (narrative("<![CDATA[x]]>"), False),
        (narrative("<p>not closed"), False),
    ],
)
def test_the_structure(said: dict[str, Any], fits: bool) -> None:
    verdict = Gate("4.0.1").judge(json.dumps(said))
    assert isinstance(verdict, Passed) == fits, verdict


def test_r4b_has_two_more_values() -> None:
    for value in ({"valueRatioRange": {"denominator": {"value": 1}}}, {"valueCodeableReference": {"concept": {}}}):
        text = json.dumps(vaccine("x", extension=[{"url": "http://x", **value}]))
        assert [isinstance(Gate(version).judge(text), Passed) for version in ("4.0.1", "4.3.0")] == [False, True]


def test_types_and_permissions_have_androids_names() -> None:
    assert len(MEDICAL_TYPES) == 12
    assert permission_of("VACCINES") == "android.permission.health.READ_MEDICAL_DATA_VACCINES"
    of_types = {kind for name in MEDICAL_TYPES for kind in fhir_types(name)}
    assert len(of_types) == 14
    for kind in of_types - {"Observation"}:
        assert medical_type({"resourceType": kind}) == type_of({"resourceType": kind})
