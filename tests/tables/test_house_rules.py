"""Dates keep their precision, decimals their digits, keys their link; what cannot be read is NULL and fails nothing."""

from __future__ import annotations

from typing import Any

import pytest

from transforms.tables import table

RESULT = (
    '{"resourceType":"Observation","id":"r1","status":"final","valueQuantity":{"value":SENT,"unit":"mg"},'
    '"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}]}'
)


def condition(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "r1", "code": {"text": "x"}, **more}


@pytest.mark.parametrize(
    ("sent", "moment", "precision"),
    [
        ("2020", "2020-01-01T00:00:00", "year"),
        ("2020-05", "2020-05-01T00:00:00", "month"),
        ("2020-05-17", "2020-05-17T00:00:00", "day"),
        ("2020-05-17T10:30Z", "2020-05-17T10:30:00", "minute"),
        ("2020-05-17T10:30-05:00", "2020-05-17T15:30:00", "minute"),
        ("2020-05-17T10:30", "2020-05-17T10:30:00", "minute"),
        ("2020-05-17T10:30:15Z", "2020-05-17T10:30:15", "second"),
        ("2020-05-17T10:30:15", "2020-05-17T10:30:15", "second"),
        ("2020-05-17T10:30:15.250+05:30", "2020-05-17T05:00:15", "second"),
        ("1899-12-31", "1899-12-31T00:00:00", "day"),
        ("0000", None, None),
        ("2020-02-30", None, None),
        ("2020-13", None, None),
        ("17/05/2020", None, None),
        ("in May", None, None),
        ("20", None, None),
        ("2020-05-17T25:00:00Z", None, None),
        ("2020-05-17 10:30:15", "2020-05-17T10:30:15", "second"),
        ("", None, None),
        (20200517, None, None),
        (["2020"], None, None),
        ({"value": "2020"}, None, None),
        (None, None, None),
    ],
)
def test_a_date_is_the_earliest_moment_it_can_mean(build: Any, sent: Any, moment: Any, precision: Any) -> None:
    (row,) = build("conditions", condition(recordedDate=sent, meta={"lastUpdated": sent if sent else "2020"}))
    assert (row.get("recorded"), row.get("recorded_precision")) == (moment, precision)
    if sent:
        assert row.get("last_updated") == moment


@pytest.mark.parametrize(
    ("sent", "value", "text"),
    [
        ("1.10", 1.1, "1.10"),
        ("0.000", 0.0, "0.000"),
        ("-12", -12.0, "-12"),
        ("1234567890123456789.123456789", 1234567890123456789.123456789, "1234567890123456789.123456789"),
        ("1.50E3", 1500.0, "1.50E3"),
        ('"not a number"', None, None),
        ('"NaN"', None, None),
        ("1e999", None, "1e999"),
        ("true", None, None),
        ("[1]", None, None),
        ("null", None, None),
    ],
)
def test_a_decimal_keeps_its_digits(lake: Any, sent: str, value: float | None, text: str | None) -> None:
    resource = RESULT.replace("SENT", sent)
    lake.execute(
        "CREATE TABLE resources AS SELECT 'p' AS person_key, 'l' AS link_id, 'Observation' AS resource_type,"
        " 'r1' AS resource_id, NULL::VARCHAR AS last_updated, ? AS resource",
        [resource],
    )
    rows = lake.execute(
        f"SELECT value, value_text, unit FROM ({table('lab_results').select_sql('resources')})"
    ).fetchall()
    assert rows == [(value, text, "mg")]


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("Encounter/e1", "link/Encounter/e1"),
        ("https://provider.example/a/fhir/Encounter/e1", "link/Encounter/e1"),
        ("Encounter/e1/_history/2", "link/Encounter/e1"),
        ("#e1", "link/Condition/r1#e1"),
        ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", None),
        ("Encounter?identifier=https://x|Encounter/e1", None),
        ("Encounter/e1?x=1", None),
        ("e1", None),
        ("Encounter/", None),
        ("#", None),
        ("Encounter/not an id", None),
    ],
)
def test_a_reference_becomes_a_key_of_its_link(build: Any, reference: str, key: str | None) -> None:
    (row,) = build("conditions", condition(encounter={"reference": reference}))
    assert row.get("encounter_key") == key


def test_ids_that_two_links_share_do_not_collide(lake: Any) -> None:
    text = '{"resourceType":"Condition","id":"r1","code":{"text":"x"},"encounter":{"reference":"Encounter/e1"}}'
    lake.execute(
        "CREATE TABLE resources AS SELECT unnest(['p', 'q', 'q']) AS person_key, unnest(['l1', 'l2', 'l3']) AS link_id,"
        " 'Condition' AS resource_type, 'r1' AS resource_id, NULL::VARCHAR AS last_updated, ? AS resource",
        [text],
    )
    rows = lake.execute(
        f"SELECT row_key, person_key, encounter_key FROM ({table('conditions').select_sql('resources')}) ORDER BY ALL"
    ).fetchall()
    assert rows == [
        ("l1/Condition/r1/0", "p", "l1/Encounter/e1"),
        ("l2/Condition/r1/0", "q", "l2/Encounter/e1"),
        ("l3/Condition/r1/0", "q", "l3/Encounter/e1"),
    ]


def test_misfits_become_null_and_keep_their_row(build: Any) -> None:
    odd = condition(
        code="a string where an object belongs",
        category={"coding": [{"code": "not a list"}]},
        severity=[{"text": "a list where an object belongs"}],
        bodySite=["a string in a list"],
        onsetAge={"value": "young", "unit": 5},
        encounter="Encounter/e1",
        stage=7,
    )
    assert [row["resource_key"] for row in build("conditions", odd, condition(id="r2"))] == [
        "link/Condition/r1",
        "link/Condition/r2",
    ]


@pytest.mark.parametrize(
    ("name", "kind", "stub"),
    [
        ("allergies", "AllergyIntolerance", {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
        ("conditions", "Condition", {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
        ("medications", "MedicationRequest", {"status": "entered-in-error"}),
        ("medications", "MedicationStatement", {"status": "entered-in-error"}),
        ("medications", "MedicationDispense", {"status": "entered-in-error"}),
        ("medications", "MedicationAdministration", {"status": "entered-in-error"}),
        ("procedures", "Procedure", {"status": "entered-in-error"}),
        ("vaccines", "Immunization", {"status": "entered-in-error"}),
        ("visits", "Encounter", {"status": "entered-in-error"}),
    ],
)
def test_what_was_entered_in_error_is_hidden(build: Any, name: str, kind: str, stub: dict[str, Any]) -> None:
    gone = {"resourceType": kind, "id": "gone", **stub}
    bare = {"resourceType": kind, "id": "bare"}
    assert [row["resource_key"] for row in build(name, gone, bare)] == [f"link/{kind}/bare"]
