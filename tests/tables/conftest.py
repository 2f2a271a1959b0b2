"""Build a table from a few resources, as the build stage does, and look at its rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.tables.staging import prepared
from transforms.tables import table, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from transforms.tables import Presence

    Resource = dict[str, Any]
    Build = Callable[..., list[dict[str, Any]]]
    Stage = Callable[[Iterable[Resource]], Presence]


@pytest.fixture
def lake() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection far from UTC, with the memory that a build has for two threads."""
    with duckdb.connect(config={"memory_limit": "1500MB", "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        yield connection


@pytest.fixture
def stage(lake: duckdb.DuckDBPyConnection) -> Stage:
    """Make what the tables' queries read, of one person and one link."""

    def make(resources: Iterable[Resource]) -> Presence:
        lake.execute(
            "CREATE OR REPLACE TABLE staged (person_key VARCHAR, link_id VARCHAR, resource_type VARCHAR,"
            " resource_id VARCHAR, last_updated VARCHAR, resource VARCHAR)"
        )
        rows = [
            (
                "person",
                "link",
                each["resourceType"],
                each["id"],
                each.get("meta", {}).get("lastUpdated"),
                json.dumps(each),
            )
            for each in resources
        ]
        if rows:
            lake.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", rows)
        lake.execute(
            "CREATE OR REPLACE TABLE links AS SELECT 'link' AS link_id, 'shore' AS provider, 'direct' AS route"
        )
        return prepared(lake, links="links")

    return make


@pytest.fixture
def build(lake: duckdb.DuckDBPyConnection, stage: Stage) -> Build:
    """The rows of a table, by row_key, each without its NULLs and with moments as ISO text in UTC."""

    def rows(name: str, *resources: Resource) -> list[dict[str, Any]]:
        present = stage(resources)
        lake.execute(table(name).create_sql(f"built_{name}").replace("CREATE TABLE", "CREATE OR REPLACE TABLE"))
        lake.execute(f"INSERT INTO built_{name} {table(name).select_sql(present)}")
        shown = ", ".join(
            f"strftime(\"{column.name}\" AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S') AS \"{column.name}\""
            if column.sql_type == "TIMESTAMPTZ"
            else f'"{column.name}"'
            for column in table(name).columns
        )
        found = lake.execute(f"SELECT {shown} FROM built_{name} ORDER BY row_key")
        names = [entry[0] for entry in found.description or ()]
        return [
            {key: value for key, value in zip(names, row, strict=True) if value is not None and value != []}
            for row in found.fetchall()
        ]

    return rows


@pytest.fixture
def categories(lake: duckdb.DuckDBPyConnection, stage: Stage) -> Callable[[Iterable[Resource]], dict[str, set[str]]]:
    """For each Observation id the tables in which it has rows."""

    def found(resources: Iterable[Resource]) -> dict[str, set[str]]:
        present = stage(resources)
        landed: dict[str, set[str]] = {}
        for each in tables():
            if each.resource_types == ("Observation",):
                for (key,) in lake.execute(
                    f"SELECT DISTINCT resource_key FROM ({each.select_sql(present)})"
                ).fetchall():
                    landed.setdefault(key.rpartition("/")[2], set()).add(each.name)
        return landed

    return found
