"""The files in schemas/views are standard views, agree with each other, and with the pages generated from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transforms.tables import Table, TableError, dictionary_markdown, table, tables
from transforms.tables.declaration import read_view

if TYPE_CHECKING:
    import duckdb

ROOT = Path(__file__).parents[2]
VIEWS = sorted((ROOT / "schemas" / "views").rglob("*.json"))
FIRST = ["row_key", "person_key", "link_id", "resource_key"]


def test_there_are_ten_tables() -> None:
    assert [each.name for each in tables()] == [
        "allergies",
        "conditions",
        "lab_results",
        "medications",
        "pregnancy",
        "procedures",
        "social_history",
        "vaccines",
        "visits",
        "vitals",
    ]
    assert table("medications").resource_types == (
        "Medication",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
    )
    with pytest.raises(KeyError):
        table("nothing")


@pytest.mark.parametrize("each", tables(), ids=lambda each: each.name)
def test_a_select_gives_the_columns_of_its_table(each: Table, lake: duckdb.DuckDBPyConnection, stage: Any) -> None:
    stage([])
    lake.execute(each.create_sql("made"))
    made = lake.execute("DESCRIBE made").fetchall()
    selected = lake.execute(f"DESCRIBE {each.select_sql('resources')}").fetchall()
    expected = [
        (column.name, {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(column.sql_type, column.sql_type))
        for column in each.columns
    ]
    assert [row[:2] for row in made] == [row[:2] for row in selected] == expected
    assert [column.name for column in each.columns][:4] == FIRST
    assert [column.name for column in each.columns][-2:] == ["last_updated", "remarks"]
    assert all(column.description for column in each.columns)


@pytest.mark.parametrize("each", tables(), ids=lambda each: each.name)
def test_no_resource_can_end_a_build(each: Table) -> None:
    # Where several values could meet one place, the compiled SQL would raise an error for the resource that has them.
    assert "error(" not in each.select_sql("resources")


def test_the_four_tables_of_observations_have_the_same_columns() -> None:
    names = ("lab_results", "pregnancy", "social_history", "vitals")
    assert len({table(name).columns for name in names}) == 1


@pytest.mark.parametrize("file", VIEWS, ids=lambda file: file.name)
def test_a_view_holds_nothing_but_the_standard(file: Path) -> None:
    permitted = {
        "": "resourceType name title status description fhirVersion resource constant where select",
        "constant": "name valueString",
        "where": "path description",
        "select": "column select forEach forEachOrNull unionAll",
        "unionAll": "column select forEach forEachOrNull unionAll",
        "column": "name path type description tag",
        "tag": "name value",
        "fhirVersion": "",
    }

    def walk(node: Any, kind: str) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item, kind)
        elif isinstance(node, dict):
            assert set(node) <= set(permitted[kind].split()), kind
            for name, value in node.items():
                walk(value, name)

    view = json.loads(file.read_text(encoding="utf-8"))
    walk(view, "")
    assert (view["resourceType"], view["status"]) == ("ViewDefinition", "active")


def test_no_table_shows_who_the_person_is() -> None:
    telling = {"name", "given", "family", "address", "telecom", "birth_date", "identifier", "note", "narrative"}
    for each in tables():
        assert not telling & {column.name for column in each.columns}
    for file in VIEWS:
        text = file.read_text(encoding="utf-8")
        assert not any(f"{element}." in text or f'.{element}"' in text for element in ("note", "telecom", "identifier"))
        assert "Patient" not in text
        assert "subject" not in text


def test_the_dictionary_is_the_one_generated() -> None:
    assert (ROOT / "docs" / "dictionary.md").read_text(encoding="utf-8") == dictionary_markdown()


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("x.Patient.json", {}, "its resource is Condition"),
        ("X.json", {}, "not a name"),
        ("x.json", {"name": "Loud"}, "Loud: a column has a name in lower case"),
        ("x.json", {"description": ""}, "and a description"),
        ("x.json", {"type": "CodeableConcept"}, "a: no primitive FHIR type"),
        ("x.json", {"tag": [{"name": "charthouse/alternative-of", "value": "b"}]}, "a: it cannot stand in for b"),
    ],
)
def test_a_file_that_cannot_be_a_table_is_named(tmp_path: Path, name: str, column: Any, said: str) -> None:
    first = {"name": "a", "path": "id", "type": "id", "description": "An id.", **column}
    view = {"resourceType": "ViewDefinition", "resource": "Condition", "select": [{"column": [first]}]}
    (tmp_path / name).write_text(json.dumps(view), encoding="utf-8")
    with pytest.raises(TableError, match=said) as raised:
        read_view(tmp_path / name)
    assert str(raised.value).startswith(name)
