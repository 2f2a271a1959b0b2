"""The standard's own tests, through the public function, compared exactly; leaves test_report.json."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from transforms.sql_on_fhir import ViewError, run_view

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT.parent / "shared" / "data" / "sql-on-fhir"
ARROW = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "positiveInt": pa.int32(),
    "unsignedInt": pa.int32(),
    "decimal": pa.decimal128(38, 18),
}

pytestmark = pytest.mark.shared_data


def cases() -> list[Any]:
    """Every test of every file, with its resources."""
    found = []
    for file in sorted(SUITE.glob("*.json")):
        suite = json.loads(file.read_text(), parse_float=Decimal)
        found += [
            pytest.param(file.name, suite["resources"], t, id=f"{file.stem}: {t['title']}") for t in suite["tests"]
        ]
    return found or [pytest.param("", [], {}, id="the suite is absent")]


def declared(selects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of a view in the order of the standard."""
    columns: list[dict[str, Any]] = []
    for part in selects:
        columns += part.get("column", [])
        columns += declared(part.get("select", []))
        columns += declared(part.get("unionAll", [])[:1])
    return columns


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    """Written in the standard's format when all tests have run."""
    results: dict[str, Any] = {}
    yield results
    (ROOT / "test_report.json").write_text(json.dumps(results, indent=2) + "\n")


@pytest.mark.parametrize(("file", "resources", "test"), cases())
def test_official(
    file: str, resources: list[Any], test: dict[str, Any], connection: duckdb.DuckDBPyConnection, report: dict[str, Any]
) -> None:
    entry: dict[str, Any] = {"name": test["title"], "result": {"passed": False}}
    report.setdefault(file, {"tests": []})["tests"].append(entry)
    view = test["view"]
    if test.get("expectError"):
        with pytest.raises(ViewError):
            run_view(view, resources, connection)
        entry["result"]["passed"] = True
        return
    table = run_view(view, resources, connection)
    columns = declared(view["select"])
    assert table.column_names == test.get("expectColumns", [column["name"] for column in columns])
    for column in columns:
        item = ARROW.get(column["type"], pa.string())
        expected_type = pa.list_(item) if column.get("collection") else item
        assert table.schema.field(column["name"]).type == expected_type
    got = Counter(frozen(row, columns) for row in table.to_pylist())
    assert got == Counter(frozen(row, columns) for row in test["expect"])
    entry["result"]["passed"] = True


def frozen(row: dict[str, Any], columns: list[dict[str, Any]]) -> tuple[Any, ...]:
    """A row as something that counts: each value with its Python type, where JSON cannot tell 1 from 1.0."""
    assert set(row) == {column["name"] for column in columns}
    values = []
    for column in columns:
        value = row[column["name"]]
        if column["type"] == "decimal" and type(value) is int:
            value = Decimal(value)
        values.append(tuple(value) if isinstance(value, list) else (type(value), value))
    return tuple(values)


def test_the_suite_is_whole() -> None:
    assert len(cases()) == 134
