"""The three readings of the rules side by side, on the same resources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from transforms.classification import category_sql, classified_sql, classify, constants_of, rule_sql, where_of
from transforms.sql_on_fhir import SqlRelation, compile_view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Readings = Callable[[Sequence[Any], str], None]

TABLES = ("pregnancy", "social_history", "vitals", "lab_results")


def views() -> dict[str, dict[str, Any]]:
    """A view for each table of Observations, with the generated `where` and nothing else."""
    return {
        table: {
            "resourceType": "ViewDefinition",
            "status": "active",
            "resource": "Observation",
            "constant": constants_of(table),
            "where": where_of(table),
            "select": [{"column": [{"name": "found", "path": "true", "type": "boolean"}]}],
        }
        for table in TABLES
    }


@pytest.fixture
def database() -> duckdb.DuckDBPyConnection:
    """A connection with `given(place, resource_type, route, resource)` still to be made."""
    return duckdb.connect(config={"threads": 2})


@pytest.fixture
def give(database: duckdb.DuckDBPyConnection) -> Callable[[Sequence[Any], str], None]:
    """Make the relation `given` of resources that came by a route."""

    def made(resources: Sequence[Any], route: str) -> None:
        kinds = [each.get("resourceType") if isinstance(each, dict) else None for each in resources]
        rows = pa.table(
            {
                "place": pa.array(range(len(resources)), pa.int64()),
                "resource_type": pa.array([kind if isinstance(kind, str) else None for kind in kinds], pa.string()),
                "route": pa.array([route] * len(resources), pa.string()),
                "resource": pa.array([json.dumps(each) for each in resources], pa.string()),
            }
        )
        database.register("rows", rows)
        database.execute("CREATE OR REPLACE TABLE given AS SELECT * FROM rows")

    return made


@pytest.fixture
def sql_agrees(database: duckdb.DuckDBPyConnection, give: Readings) -> Readings:
    """Hold the function against both forms of the SQL."""

    def agree(resources: Sequence[Any], route: str) -> None:
        give(resources, route)
        told = [classify(each, route) for each in resources]
        columns = ("resource", "resource_type", "route")
        one = f"SELECT {rule_sql(*columns)}, {category_sql(*columns)} FROM given ORDER BY place"
        many = f"SELECT rule, category FROM ({classified_sql('given', ['place'])}) ORDER BY place"
        for statement in (one, many):
            found = database.execute(statement).fetchall()
            odd = [
                (said, (mine.rule, mine.category), each)
                for said, mine, each in zip(found, told, resources, strict=True)
                if said != (mine.rule, mine.category)
            ]
            assert odd[:3] == []

    return agree


@pytest.fixture
def views_agree(database: duckdb.DuckDBPyConnection, give: Readings) -> Readings:
    """Hold the function against the `where` of the views."""

    def agree(resources: Sequence[Any], route: str) -> None:
        give(resources, route)
        found: dict[int, set[str]] = {}
        for table, view in views().items():
            rows = database.execute(compile_view(view, SqlRelation("given"), carry=["place"])).fetchall()
            for place, _ in rows:
                found.setdefault(place, set()).add(table)
        told = {place: classify(each, route).category for place, each in enumerate(resources)}
        odd = [
            (found.get(place, set()), category, resources[place])
            for place, category in told.items()
            if resources[place]["resourceType"] == "Observation"
            and found.get(place, set()) != ({category} if category else set())
        ]
        assert odd[:3] == []

    return agree
