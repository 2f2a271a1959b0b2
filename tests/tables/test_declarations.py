"""The files in schemas/views are standard views, agree with each other, and with the pages generated from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transforms.sql_on_fhir import run_view
from transforms.tables import (
    Table,
    TableError,
    all_tables,
    dictionary_markdown,
    must_support_markdown,
    prepare,
    table,
    tables,
    view_files,
)
from transforms.tables.declaration import read_declaration
from transforms.tables.statement import columns_of, select_sql

if TYPE_CHECKING:
    import duckdb

ROOT = Path(__file__).parents[2]
VIEWS = sorted((ROOT / "schemas" / "views").glob("*.json"))
FIRST = [
    "row_key",
    "person_key",
    "link_id",
    "resource_key",
    "provider",
    "route",
    "status",
    "code",
    "code_system",
    "display",
    "text",
    "effective_start",
    "effective_start_precision",
    "effective_end",
    "effective_end_precision",
    "recorded_at",
    "last_updated",
    "is_entered_in_error",
    "is_negated",
    "encounter_key",
    "mapping_version",
    "codings",
    "remarks",
    "effective_start_day",
    "effective_start_offset",
    "encounter_start",
]


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
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
    )
    with pytest.raises(KeyError):
        table("nothing")


def test_every_category_begins_with_the_same_columns() -> None:
    begun = {tuple((column.name, column.sql_type) for column in each.columns[: len(FIRST)]) for each in tables()}
    assert len(begun) == 1
    assert [name for name, _ in next(iter(begun))] == FIRST


@pytest.mark.parametrize("each", all_tables(), ids=lambda each: each.name)
def test_a_select_gives_the_columns_of_its_table(each: Table, lake: duckdb.DuckDBPyConnection, stage: Any) -> None:
    present = stage([])
    lake.execute(each.create_sql("made"))
    made = [row[:2] for row in lake.execute("DESCRIBE made").fetchall()]
    assert [row[:2] for row in lake.execute(f"DESCRIBE {each.select_sql(present)}").fetchall()] == made
    for statement in prepare("staged", links="links"):
        lake.execute(statement)
    assert [row[:2] for row in lake.execute(f"DESCRIBE {each.select_sql()}").fetchall()] == made
    assert [name for name, _ in made] == [column.name for column in each.columns]
    assert all(column.description for column in each.columns)


@pytest.mark.parametrize("each", all_tables(), ids=lambda each: each.name)
def test_no_resource_can_end_a_build(each: Table) -> None:
    # Where several values could meet one place, the compiled SQL would raise an error for the resource that has them.
    assert "error(" not in each.select_sql()


def test_the_four_tables_of_observations_have_the_same_columns() -> None:
    names = ("lab_results", "pregnancy", "social_history")
    (shared,) = {table(name).columns for name in names}
    assert set(shared) < set(table("vitals").columns)


@pytest.mark.parametrize("file", VIEWS, ids=lambda file: file.name)
def test_a_view_holds_nothing_but_the_standard(file: Path) -> None:
    permitted = {
        "": "resourceType name title status description fhirVersion resource constant where select",
        "constant": "name valueString",
        "where": "path description",
        "select": "column select forEach forEachOrNull unionAll",
        "unionAll": "column select forEach forEachOrNull unionAll",
        "column": "name path type collection description tag",
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
    telling = {"name", "given", "family", "address", "telecom", "birth_date", "identifier", "narrative", "subject"}
    for each in all_tables():
        assert not telling & {column.name for column in each.columns}
        assert not any("identifier" in column.sql_type or "telecom" in column.sql_type for column in each.columns)
    for file in VIEWS:
        assert '"resource": "Patient"' not in file.read_text(encoding="utf-8")


def test_the_dictionary_and_the_views_are_those_generated() -> None:
    assert (ROOT / "docs" / "dictionary.md").read_text(encoding="utf-8") == dictionary_markdown()
    assert {file.name: file.read_text(encoding="utf-8") for file in VIEWS} == view_files()
    told = (ROOT / "docs" / "must_support.md").read_text(encoding="utf-8")
    assert told == must_support_markdown()
    assert "**nothing**" not in told


@pytest.mark.parametrize("file", VIEWS, ids=lambda file: file.name)
def test_a_published_view_runs_by_itself(file: Path) -> None:
    view = json.loads(file.read_text(encoding="utf-8"))
    stub = {"resourceType": view["resource"], "id": "r1"}
    assert run_view(view, [stub]).num_rows <= 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": [{"element": "severety", "is": "How severe."}]}, "Condition has no element severety"),
        ({"columns": [{"element": "onset", "is": "When."}]}, "Condition has no element onset"),
        (
            {"columns": [{"element": "severity", "name": "Loud", "is": "How severe."}]},
            "Loud: a column has a name in lower",
        ),
        ({"columns": [{"element": "severity", "is": ""}]}, "and says what it is"),
        ({"columns": [{"element": {"Procedure": "code"}, "is": "What."}]}, "there is no Procedure here"),
    ],
)
def test_a_declaration_that_cannot_be_a_table_is_named(change: dict[str, Any], said: str) -> None:
    sound = {"title": "T", "description": "D.", "resources": ["Condition"], "common": {"subject": "subject"}}
    with pytest.raises(TableError, match=said) as raised:
        read_declaration("mine", {**sound, **change})
    assert str(raised.value).startswith("mine: ")


def test_a_new_category_is_a_few_lines(lake: duckdb.DuckDBPyConnection, stage: Any) -> None:
    declared = {
        "title": "Devices",
        "description": "Devices in or at the person, one row each.",
        "resources": ["DeviceUseStatement"],
        "common": {"code": "bodySite", "status": "status", "effective": "timing[x]", "subject": "subject"},
        "columns": [
            {"element": "device", "is": "The device."},
            {"element": "reasonCode", "name": "reason", "is": "Why."},
        ],
    }
    stage(
        [
            {
                "resourceType": "DeviceUseStatement",
                "id": "d1",
                "status": "active",
                "timingDateTime": "2024-05",
                "device": {"display": "pacemaker"},
                "reasonCode": [{"text": "slow pulse"}],
            }
        ]
    )
    made = lake.execute(select_sql(read_declaration("devices", declared))).fetchone()
    names = [column.name for column in columns_of(read_declaration("devices", declared))]
    row = dict(zip(names, made or (), strict=True))
    assert (row["device_display"], row["reason_text"], row["effective_start_precision"]) == (
        "pacemaker",
        "slow pulse",
        "month",
    )
