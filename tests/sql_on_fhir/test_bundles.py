"""Bundles as sources, and the keys of what points at their entries: rows of two views join, however a server writes."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from transforms.sql_on_fhir import ViewError, remarks_of, run_view

if TYPE_CHECKING:
    from pathlib import Path

MIXED = "urn:uuid:0A5F2C1e-0000-4000-8000-00000000000A"
PEOPLE = {"resource": "Patient", "select": [{"column": [{"name": "key", "path": "getResourceKey()"}]}]}
RESULTS = {
    "resource": "Observation",
    "select": [
        {
            "column": [
                {"name": "key", "path": "getResourceKey()"},
                {"name": "patient", "path": "subject.getReferenceKey(Patient)"},
                {"name": "any", "path": "subject.getReferenceKey()"},
                {"name": "by", "path": "performer.getReferenceKey()", "collection": True},
                {"name": "visit", "path": "encounter.getReferenceKey()"},
                {"name": "value", "path": "value.ofType(Quantity).value", "type": "string"},
            ]
        }
    ],
}


def result(subject: Any, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "subject": {"reference": subject}, **more}


BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {"fullUrl": "urn:uuid:b", "resource": result(MIXED.lower(), performer=[{"reference": "urn:oid:1.2.3"}])},
        {"fullUrl": MIXED, "resource": {"resourceType": "Patient", "id": "named-otherwise"}},
        {"fullUrl": "urn:oid:1.2.3", "resource": {"resourceType": "Organization"}},
        {"fullUrl": "http://example.org/Patient/7", "resource": {"resourceType": "Patient", "id": "7"}},
        {"resource": result("http://example.org/Patient/7", id="c", encounter={"reference": "urn:uuid:elsewhere"})},
        {"resource": {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "inner"}}]}},
        {"response": {"status": "201"}},
    ],
}
EXPECTED = [
    ("Observation/b", "Patient/named-otherwise", "Patient/named-otherwise", ["Organization/1.2.3"], None),
    ("Observation/c", "Patient/7", "Patient/7", [], "Encounter/elsewhere"),
]


def rows(source: Any) -> list[tuple[Any, ...]]:
    found = run_view(RESULTS, source).to_pylist()
    return sorted((row["key"], row["patient"], row["any"], row["by"], row["visit"]) for row in found)


def test_the_references_of_a_bundle_are_the_keys_of_its_entries(tmp_path: Path) -> None:
    pretty = json.dumps(BUNDLE, indent=2)
    (tmp_path / "b.json").write_text("\ufeff" + pretty)
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "c.json.gz").write_bytes(gzip.compress(pretty.encode()))
    (tmp_path / "alone" / "view.json").write_text(json.dumps(RESULTS))
    for source in ([BUNDLE], tmp_path / "b.json", str(tmp_path / "*.json"), tmp_path / "alone"):
        assert rows(source) == EXPECTED
        table = run_view(PEOPLE, source)
        assert sorted(row["key"] for row in table.to_pylist()) == ["Patient/7", "Patient/named-otherwise"]
        assert remarks_of(table) == ()


def test_digits_survive_the_opening_of_a_bundle() -> None:
    text = (
        '{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","valueQuantity":{"value":1.10}}}]}'
    )
    from decimal import Decimal

    (row,) = run_view(RESULTS, [json.loads(text, parse_float=Decimal)]).to_pylist()
    assert row["value"] == "1.10"


def test_views_of_bundles_and_plain_files_are_read_as_before(tmp_path: Path) -> None:
    bundles = {"resource": "Bundle", "select": [{"column": [{"name": "type", "path": "type"}]}]}
    (tmp_path / "b.json").write_text(json.dumps(BUNDLE, indent=1))
    assert run_view(bundles, [BUNDLE]).to_pylist() == [{"type": "transaction"}]
    assert run_view(bundles, tmp_path / "b.json").to_pylist() == [{"type": "transaction"}]
    (tmp_path / "lines.json").write_text("\n".join(json.dumps({"resourceType": "Patient", "id": key}) for key in "ab"))
    assert run_view(PEOPLE, tmp_path / "lines.json").num_rows == 2
    (tmp_path / "bundles.json").write_text("\n".join([json.dumps(BUNDLE)] * 2))
    assert run_view(bundles, tmp_path / "bundles.json").num_rows == 2
    torn = json.dumps({"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "a"}}] * 3})
    (tmp_path / "torn.json").write_text(torn.replace('"id": "a"', '"id": 007', 1))
    assert run_view(PEOPLE, tmp_path / "torn.json").num_rows == 2
    (tmp_path / "one.json").write_text(json.dumps({"resourceType": "Patient", "id": "a"}, indent=2))
    assert run_view(PEOPLE, tmp_path / "one.json").num_rows == 1
    (tmp_path / "broken.json.gz").write_bytes(gzip.compress(b"{}" * 999)[:20])
    with pytest.raises(ViewError, match="CH309"):
        run_view(PEOPLE, tmp_path / "broken.json.gz")


@pytest.mark.parametrize(
    ("reference", "patient", "any_type"),
    [
        ({"reference": "urn:uuid:x"}, "Patient/x", None),
        ({"reference": "urn:oid:1.2"}, "Patient/1.2", None),
        ({"reference": "urn:uuid:x", "type": "Patient"}, "Patient/x", "Patient/x"),
        ({"reference": "urn:uuid:x", "type": "http://hl7.org/fhir/StructureDefinition/Group"}, "Patient/x", "Group/x"),
        ({"reference": "urn:isbn:1"}, None, None),
        ({"reference": "urn:uuid:"}, None, None),
        ({"type": "Patient", "identifier": {"value": "x"}}, None, None),
    ],
)
def test_in_lines_a_urn_is_the_resource_with_that_id(reference: Any, patient: str | None, any_type: str | None) -> None:
    given = {"resourceType": "Observation", "id": "o", "subject": reference, "performer": [reference, {"display": "d"}]}
    (row,) = run_view(RESULTS, [given]).to_pylist()
    assert (row["patient"], row["any"], row["by"]) == (patient, any_type, [any_type] if any_type else [])


def test_a_type_that_cannot_stand_there_has_no_key() -> None:
    view = {
        "resource": "Observation",
        "select": [{"column": [{"name": "v", "path": "encounter.getReferenceKey(Patient)"}]}],
    }
    given = {"resourceType": "Observation", "encounter": {"reference": "urn:uuid:x"}}
    assert run_view(view, [given]).to_pylist() == [{"v": None}]
