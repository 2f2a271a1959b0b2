"""Results in the forms in which servers send them: bounds, words, other units, panels, corrections, what is not so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from charthouse.coach.functions import function
from tests.tables.raw import Link
from tests.tables.test_independent import page, staged
from transforms.coach.facts import PersonRecords, Row
from transforms.coach.selecting import TABLES, rows_sql
from transforms.duplicates import find
from transforms.tables import all_tables, tables

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LAB = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]


def lab(name: str, text: str, day: str, code: str = "", **more: Any) -> dict[str, Any]:
    coding = {"coding": [{"system": "http://loinc.org", "code": code}]} if code else {}
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": LAB,
        "subject": {"reference": "Patient/p"},
        "code": {"text": text} | coding,
        "effectiveDateTime": day,
    } | more


def drug(name: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": {"text": text},
        "authoredOn": "2024-01-01",
    } | more


RANGE = {"low": {"value": 4, "unit": "%"}, "high": {"value": 5.6, "unit": "%"}}
SENT = [
    lab("a1", "Hemoglobin A1c", "2020-01-01", valueQuantity={"value": 6.1, "unit": "%"}),
    lab("a2", "HbA1c (IFCC)", "2021-01", "59261-8", valueQuantity={"value": 42, "unit": "mmol/mol", "code": "mmol/mol",
        "system": "http://unitsofmeasure.org"}),
    lab("a3", "HGB A1C", "2022-01-01", "4548-4", valueString="<5.7 %", status="corrected", referenceRange=[RANGE],
        interpretation=[{"coding": [{"code": "N"}]}]),
    lab("a4", "A1c", "2023-01-01", "4548-4", valueQuantity={"value": 9, "unit": "%"}, status="cancelled"),
    lab("t1", "ANA titer", "2022-01-01", valueRatio={"numerator": {"value": 1}, "denominator": {"value": 128}}),
    lab("r1", "WBC urine", "2022-01-01", valueRange={"low": {"value": 3}, "high": {"value": 5, "unit": "/HPF"}}),
    lab("panel", "Lipid panel", "2022-02-01", "57698-3", hasMember=[{"reference": "Observation/m1"}]),
    lab("m1", "LDL", "2022-02-01", "13457-7", valueQuantity={"value": 131, "unit": "mg/dL"}, status="preliminary",
        referenceRange=[{"high": {"value": 100, "unit": "mg/dL"}}]),
    drug("d1", "Furosemide 20 MG"),
    drug("d2", "Warfarin 5 MG", doNotPerform=True),
    drug("d3", "Aspirin 81 MG", status="stopped"),
    drug("d4", "Furosemide 20 MG", authoredOn="2025-01-01"),
]  # fmt: skip


@pytest.fixture(scope="module")
def records() -> PersonRecords:
    """What is on the person's shelf."""
    body = page(json.dumps(each).encode() for each in SENT)
    with staged([(Link("person", "link", "clinic"), body)]) as (connection, present):
        connection.execute("SET TimeZone = 'UTC'")
        for each in all_tables():
            connection.execute(f"CREATE TABLE {each.name} AS {each.select_sql(present)}")
        find(connection, {each.name: each.name for each in tables()})
        rows = [
            msgspec.json.decode(text, type=Row)
            for table in TABLES
            for _, text in connection.execute(
                rows_sql(table, table, "medication_dosages", "found_duplicates", "$people::VARCHAR[]"),
                {"people": ["person"]},
            ).fetchall()
        ]
    return PersonRecords(1, tuple(rows))


def ask(records: PersonRecords, called_by: str, /, **given: Any) -> Any:
    called = function(called_by)
    return called.run(records, called.asked(**given), NOW)


def test_a_result_is_found_in_whatever_form_it_was_sent(records: PersonRecords) -> None:
    newest = ask(records, "latest-result", name="a1c")
    fact = newest.fact
    assert (fact.value.shown, fact.value.quantity.comparator, fact.stage) == ("<5.7 %", "<", "corrected")
    assert fact.reference_ranges[0].shown == "4-5.6 %"
    assert fact.interpretations[0].code == "N"
    assert newest.earlier == 2
    trend = ask(records, "trend", name="a1c")
    assert [round(point.number, 1) for point in trend.points] == [6.1, 6.0, 5.7]
    assert [point.when.value for point in trend.points] == ["2020-01-01", "2021-01", "2022-01-01"]
    assert trend.unit == "%"
    assert round(trend.change.difference, 2) == pytest.approx(-0.11, abs=0.02)  # the bound is no measurement
    assert ask(records, "latest-result", name="ANA titer").fact.value.shown == "1:128"
    assert ask(records, "latest-result", name="urine WBC").fact.value.shown == "3-5 /HPF"
    panel = ask(records, "latest-result", name="lipid panel")
    assert [part.value.shown for part in panel.fact.parts] == ["131 mg/dL"]
    ldl = ask(records, "latest-result", name="bad cholesterol").fact
    assert (ldl.value.shown, ldl.stage) == ("131 mg/dL", "preliminary")
    outside = ask(records, "doctor-list").outside_range
    assert [fact.value.shown for fact in outside] == ["131 mg/dL"]


def test_what_is_not_to_be_taken_is_never_active(records: PersonRecords) -> None:
    told = ask(records, "active-medications")
    assert [(fact.name, len(fact.sources)) for fact in told.facts] == [("Furosemide 20 MG", 2)]
    assert told.others == {"not-to-be-taken": 1, "stopped": 1}
    found = ask(records, "search", text="water pill")
    assert {match.fact.name for match in found.matches} == {"Furosemide 20 MG"}
    assert {match.matched_in for match in found.matches} == {"meaning"}
