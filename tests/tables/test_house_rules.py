"""Dates keep their precision and offset, numbers their digits, keys their link; what cannot be read fails nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tables.staging import prepared
from transforms.tables import prepare, table

LAB = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]


def condition(name: str = "r1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": name, "code": {"text": "x"}, **more}


DATES = [
    ("2020", "2020-01-01T00:00:00", "year", None, None),
    ("2020-05", "2020-05-01T00:00:00", "month", None, None),
    ("2020-05-17", "2020-05-17T00:00:00", "day", "2020-05-17", None),
    ("2020-05-17T10:30Z", "2020-05-17T10:30:00", "minute", "2020-05-17", "Z"),
    ("2020-05-17T23:30-08:00", "2020-05-18T07:30:00", "minute", "2020-05-17", "-08:00"),
    ("2020-05-17T10:30", "2020-05-17T10:30:00", "minute", "2020-05-17", None),
    ("2020-05-17T10:30:15", "2020-05-17T10:30:15", "second", "2020-05-17", None),
    ("2020-05-17T10:30:15.250+05:30", "2020-05-17T05:00:15", "second", "2020-05-17", "+05:30"),
    ("0105-03-04", "0105-03-04T00:00:00", "day", "0105-03-04", None),
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59", "second", "9999-12-31", "Z"),
    ("2020-05-17 10:30:15", "2020-05-17T10:30:15", "second", "2020-05-17", None),
    ("0000", None, None, None, None),
    ("2020-02-30", None, None, None, None),
    ("17/05/2020", None, None, None, None),
    ("in May", None, None, None, None),
    ("2020-05-17T25:00:00Z", None, None, None, None),
    ("", None, None, None, None),
    (20200517, None, None, None, None),
    (["2020"], None, None, None, None),
    ({"value": "2020"}, None, None, None, None),
    (None, None, None, None, None),
]


def test_a_date_is_the_earliest_moment_it_can_mean(build: Any) -> None:
    sent = [
        condition(f"r{number:02}", onsetDateTime=date, recordedDate=date, meta={"lastUpdated": date or "2020"})
        for number, (date, *_) in enumerate(DATES)
    ]
    rows = build("conditions", *sent)
    assert len(rows) == len(DATES)
    for row, (date, moment, precision, day, offset) in zip(rows, DATES, strict=True):
        found = tuple(row.get(f"effective_start{ending}") for ending in ("", "_precision", "_offset"))
        assert found == (moment, precision, offset), date
        assert str(row.get("effective_start_day")) == str(day), date
        assert row.get("recorded_at") == moment, date
        if date:
            assert row.get("last_updated") == moment, date
            assert ("unread-date" in row.get("remarks", [])) == (moment is None), date


NUMBERS = [
    ("1.10", 1.1, "1.10"),
    ("0.000", 0.0, "0.000"),
    ("-12", -12.0, "-12"),
    ("1234567890123456789.123456789", 1234567890123456789.123456789, "1234567890123456789.123456789"),
    ("1.50E3", 1500.0, "1.50E3"),
    ('"1.80"', 1.8, "1.80"),
    ('"120 mg"', 120.0, "120 mg"),  # its words say no more than a number and the same unit
    ('"120 mmol/L"', None, "120 mmol/L"),  # another unit than that beside it
    ('"120 mg of it"', None, "120 mg of it"),
    ('"NaN"', None, "NaN"),
    ("1e999", None, "1e999"),
    ("9" * 400, None, "9" * 400),
    ("[1]", None, None),
    ("null", None, None),
]


def test_a_number_keeps_its_digits(lake: Any) -> None:
    shell = json.dumps(
        {
            "resourceType": "Observation",
            "status": "final",
            "category": LAB,
            "valueQuantity": {"value": "SENT", "comparator": "<>", "unit": "mg"},
        }
    )
    lake.execute(
        "CREATE TABLE staged AS SELECT 'p' AS person_key, 'l' AS link_id, 'Observation' AS resource_type,"
        " 'r' || lpad(nth::VARCHAR, 2, '0') AS resource_id, NULL::VARCHAR AS last_updated, text AS resource"
        " FROM (SELECT unnest(?) AS text, unnest(range(?)) AS nth)",
        [[shell.replace('"SENT"', sent) for sent, _, _ in NUMBERS], len(NUMBERS)],
    )
    for statement in prepare("staged"):
        lake.execute(statement)
    columns = "value, value_text, value_unit, value_comparator, remarks, has_value"
    rows = lake.execute(f"SELECT {columns} FROM ({table('lab_results').select_sql()}) ORDER BY row_key").fetchall()
    for (value, text, unit, comparator, remarks, there), (_, number, digits) in zip(rows, NUMBERS, strict=True):
        assert (value, text, unit, comparator) == (number, digits, "mg", "<>")
        assert "unknown-comparator" in remarks
        assert ("unread-number" in remarks) == (digits is not None and number is None) or digits is None
        if digits is not None:
            assert there


REFERENCES = [
    ("Encounter/e1", "link/Encounter/e1"),
    ("https://provider.example/a/fhir/Encounter/e1", "link/Encounter/e1"),
    ("Encounter/e1/_history/2", "link/Encounter/e1"),
    ("https://provider.example/fhir/Encounter/e1/_history/3", "link/Encounter/e1"),
    ("Encounter/under_score." + "x" * 80, "link/Encounter/under_score." + "x" * 80),
    ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "link/Encounter/0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
    ("urn:uuid:00000000-0000-0000-0000-000000000000", None),
    ("Encounter?identifier=https://x|Encounter/e1", None),
    ("e1", None),
    ("Encounter/", None),
    ("#", None),
    ("#nothing", None),
]


def test_a_reference_becomes_a_key_of_its_link(build: Any) -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
        "period": {"start": "2020-01-02"},
    }
    sent = [condition(f"r{nth:02}", encounter={"reference": text}) for nth, (text, _) in enumerate(REFERENCES)]
    rows = build("conditions", visit, *sent)
    for row, (text, key) in zip(rows, REFERENCES, strict=True):
        assert row.get("encounter_key") == key, text
        assert ("unresolved-reference" in row.get("remarks", [])) == (key is None), text
    assert [row.get("encounter_start") for row in rows if "0c3151bd" in row.get("encounter_key", "")] == [
        "2020-01-02T00:00:00"
    ]


def test_ids_that_two_links_share_do_not_collide(lake: Any) -> None:
    text = json.dumps(condition(encounter={"reference": "Encounter/e1"}, recorder={"reference": "Practitioner/d1"}))
    doctor = '{{"resourceType":"Practitioner","id":"d1","name":[{{"family":"{}"}}]}}'
    lake.execute(
        "CREATE TABLE staged AS SELECT unnest(['p', 'q', 'q']) AS person_key, unnest(['l1', 'l2', 'l3']) AS link_id,"
        " 'Condition' AS resource_type, 'r1' AS resource_id, NULL::VARCHAR AS last_updated, $text AS resource"
        " UNION ALL SELECT 'q', unnest(['l2', 'l3']), 'Practitioner', 'd1', NULL, unnest([$two, $three])",
        {"text": text, "two": doctor.format("Two"), "three": doctor.format("Three")},
    )
    for statement in prepare("staged"):
        lake.execute(statement)
    columns = "row_key, person_key, encounter_key, recorder_display"
    rows = lake.execute(f"SELECT {columns} FROM ({table('conditions').select_sql()}) ORDER BY ALL").fetchall()
    assert rows == [
        ("l1/Condition/r1/0", "p", "l1/Encounter/e1", None),
        ("l2/Condition/r1/0", "q", "l2/Encounter/e1", "Two"),
        ("l3/Condition/r1/0", "q", "l3/Encounter/e1", "Three"),
    ]


def test_a_reference_with_escapes_names_what_it_points_at(lake: Any) -> None:
    text = r'{"resourceType":"Condition","id":"r1","recorder":{"reference" : "Practitioner\u002fd1"}}'
    doctor = '{"resourceType":"Practitioner","id":"d1","name":[{"family":"Two"}]}'
    lake.execute(
        "CREATE TABLE staged AS SELECT 'p' AS person_key, 'l' AS link_id, unnest(['Condition', 'Practitioner'])"
        " AS resource_type, unnest(['r1', 'd1']) AS resource_id, NULL::VARCHAR AS last_updated, unnest(?) AS resource",
        [[text, doctor]],
    )
    present = prepared(lake)
    selected = table("conditions").select_sql(present)
    assert lake.execute(f"SELECT recorder_key, recorder_display FROM ({selected})").fetchall() == [
        ("l/Practitioner/d1", "Two")
    ]


def test_misfits_become_null_and_keep_their_row(build: Any) -> None:
    odd = condition(
        code="a string where an object belongs",
        category={"coding": [{"code": "not a list"}]},
        severity=[{"text": "a list where an object belongs"}],
        bodySite=["a string in a list", None, {"text": {"an": "object"}}],
        onsetAge={"value": "young", "unit": 5},
        encounter="Encounter/e1",
        subject=17,
        stage=7,
    )
    first, second = build("conditions", odd, condition("r2"))
    assert (first["resource_key"], second["resource_key"]) == ("link/Condition/r1", "link/Condition/r2")
    assert (first["onset_age_text"], first["onset_age_unit"]) == ("young", "5")
    assert "names-nothing" in first["remarks"]
    assert "remarks" not in second


@pytest.mark.parametrize(
    ("name", "kind", "stub"),
    [
        ("allergies", "AllergyIntolerance", {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
        ("conditions", "Condition", {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
        ("medications", "MedicationRequest", {"status": "entered-in-error"}),
        ("medications", "MedicationAdministration", {"status": "entered-in-error"}),
        ("procedures", "Procedure", {"status": "entered-in-error"}),
        ("vaccines", "Immunization", {"status": "entered-in-error"}),
        ("visits", "Encounter", {"status": "entered-in-error"}),
        ("lab_results", "Observation", {"status": "entered-in-error", "category": LAB}),
    ],
)
def test_what_was_entered_in_error_is_told(build: Any, name: str, kind: str, stub: dict[str, Any]) -> None:
    wrong = {"resourceType": kind, "id": "wrong", **stub}
    bare = {"resourceType": kind, "id": "bare", **{key: stub[key] for key in stub if key == "category"}}
    rows = {row["resource_key"].rpartition("/")[2]: row for row in build(name, wrong, bare)}
    assert {key: row["is_entered_in_error"] for key, row in rows.items()} == {"wrong": True, "bare": False}
    assert {row["is_negated"] for row in rows.values()} == {False}
