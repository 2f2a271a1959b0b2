"""Rows are the same whether or not it is known what the resources have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tables.staging import prepared
from transforms.tables import all_tables, prepare, read_presence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

SHARED = Path(__file__).parents[3] / "shared" / "data"

LAB = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]
GLUCOSE = {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}]}
REASON = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
EXTENDED = {"value": 5, "unit": "mg", "_value": {"extension": [REASON]}, "extension": [REASON]}
LONELY = [
    {"resourceType": "Observation", "id": "bare", "status": "final", "category": LAB, "code": GLUCOSE},
    {"resourceType": "Observation", "id": "panel", "status": "final", "category": LAB, "code": GLUCOSE,
     "component": [{"code": GLUCOSE, "valueRange": {"low": {"value": 1, "comparator": ">"}}}]},
    {"resourceType": "Observation", "id": "odd", "status": "final", "category": LAB, "code": GLUCOSE,
     "component": {"code": GLUCOSE, "valueString": "7"}, "valueQuantity": EXTENDED, "_effectiveDateTime": REASON},
    {"resourceType": "Observation", "id": "masked", "status": "final", "category": LAB, "code": GLUCOSE,
     "_effectiveDateTime": {"extension": [REASON]}, "interpretation": [], "valueSampledData": {"dimensions": 1}},
    {"resourceType": "MedicationStatement", "id": "m1", "medicationReference": {"reference": "#drug"},
     "contained": [{"resourceType": "Medication", "id": "drug", "code": {
         "coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "1", "version": "2", "userSelected": True}]}}],
     "dosage": [{"timing": {"repeat": {"frequency": 2, "boundsRange": {"high": {"value": 3}}}}}]},
    {"resourceType": "MedicationAdministration", "id": "m2", "status": "completed",
     "medicationCodeableConcept": {"text": "Water"}, "dosage": {"dose": {"value": 1}, "rateRatio": {}}},
    {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"},
     "participant": [{"individual": {"display": "Somebody"}}], "hospitalization": {"admitSource": {"text": "Home"}}},
    {"resourceType": "Condition", "id": "c1", "code": {"text": "Cough"}, "onsetAge": {"value": 4, "unit": "a"}},
    {"resourceType": "Immunization", "id": "i1", "status": "completed", "vaccineCode": {"text": "Flu"},
     "performer": [{"actor": {"display": "A nurse"}}], "occurrenceString": "2020-01-02"},
    {"resourceType": "AllergyIntolerance", "id": "a1", "code": {"text": "Nuts"},
     "reaction": [{"manifestation": [{"text": "Hives"}], "note": [{"text": "Mild", "time": "2020"}]}]},
]  # fmt: skip
"""Resources that have what none of their neighbours have, and some that have it in another shape than R4's."""


def published(folder: str) -> Iterator[dict[str, Any]]:
    for file in sorted((SHARED / folder).glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:  # broken on purpose
            continue
        entries = content.get("entry", []) if content.get("resourceType") == "Bundle" else [{"resource": content}]
        yield from (each["resource"] for each in entries if "id" in each.get("resource", {}))


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(lambda: [json.dumps(each) for each in LONELY], id="each with something of its own"),
        pytest.param(lambda: [json.dumps(each) for each in LONELY[:1]], id="next to nothing"),
        pytest.param(
            lambda: [json.dumps(LONELY[3]).replace('"value', '"\\u0076alue').replace('"_eff', '"\\u005feff')],
            id="names with escapes",
        ),
        *(
            pytest.param(
                lambda name=name: [json.dumps(each) for each in published(name)], marks=pytest.mark.shared_data, id=name
            )
            for name in ("us-core-examples", "odd-records")
        ),
    ],
)
def test_rows_are_the_same_without_what_no_resource_has(
    texts: Callable[[], list[str]], lake: duckdb.DuckDBPyConnection
) -> None:
    lake.execute(
        "CREATE TABLE staged AS SELECT 'p' AS person_key, 'l' AS link_id, text ->> '$.resourceType' AS resource_type,"
        " text ->> '$.id' AS resource_id, NULL::VARCHAR AS last_updated, text AS resource"
        " FROM (SELECT DISTINCT unnest(?::VARCHAR[]) AS text) WHERE json_valid(text)",
        [texts()],
    )
    for statement in prepare("staged"):
        lake.execute(statement)
    for each in all_tables():
        lake.execute(f"CREATE TABLE whole_{each.name} AS {each.select_sql()}")
    present = prepared(lake)
    for each in all_tables():
        lake.execute(f"CREATE TABLE shorter_{each.name} AS {each.select_sql(present)}")
        types = [lake.execute(f"DESCRIBE {kind}_{each.name}").fetchall() for kind in ("whole", "shorter")]
        assert types[0] == types[1], each.name
        for one, other in (("whole", "shorter"), ("shorter", "whole")):
            differing = lake.execute(f"FROM {one}_{each.name} EXCEPT ALL FROM {other}_{each.name}").fetchall()
            assert not differing, each.name


def test_what_a_group_lacks_is_not_read(lake: duckdb.DuckDBPyConnection) -> None:
    lake.execute(
        "CREATE TABLE staged AS SELECT 'p' AS person_key, 'l' AS link_id, 'Condition' AS resource_type,"
        " 'c1' AS resource_id, NULL::VARCHAR AS last_updated, ? AS resource",
        [json.dumps(LONELY[7])],
    )
    (conditions,) = (each for each in all_tables() if each.name == "conditions")
    shorter = conditions.select_sql(read_presence(lake, "staged"))
    assert '"onsetAge"' in shorter
    assert '"abatementAge"' not in shorter
    assert "userSelected" not in shorter
    assert len(shorter) < len(conditions.select_sql()) / 2
