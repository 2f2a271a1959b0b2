"""People with several links, built as a night builds them, and the groups that were found among their rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.tables.staging import prepared
from transforms.duplicates import FOUND, find
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    Resource = dict[str, Any]


@dataclass
class Lake:
    """What was sent, by person and link; then its rows and groups."""

    connection: duckdb.DuckDBPyConnection
    sent: list[tuple[str, ...]] = field(default_factory=list)
    links: list[tuple[str, str, str]] = field(default_factory=list)

    def send(self, person: str, number: int, *resources: Resource, provider: str = "", route: str = "direct") -> None:
        """What a link of a person brought. Ids are given where there are none."""
        link = f"{person}-{number}"
        self.links.append((link, provider or f"provider-{number}", route))
        for place, each in enumerate(resources):
            resource = {"id": f"id-{number}-{place}", **each}
            subject = "patient" if each["resourceType"] in {"Immunization", "AllergyIntolerance"} else "subject"
            resource.setdefault(subject, {"reference": "Patient/p"})
            updated = resource.get("meta", {}).get("lastUpdated")
            row = (person, link, resource["resourceType"], resource["id"], updated, json.dumps(resource))
            self.sent.append(row)

    def find(self) -> None:
        """Build the tables and find the duplicates."""
        self.connection.execute(
            "CREATE OR REPLACE TABLE staged (person_key VARCHAR, link_id VARCHAR, resource_type VARCHAR,"
            " resource_id VARCHAR, last_updated VARCHAR, resource VARCHAR)"
        )
        self.connection.execute("CREATE OR REPLACE TABLE links (link_id VARCHAR, provider VARCHAR, route VARCHAR)")
        self.connection.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?)", self.sent)
        self.connection.executemany("INSERT INTO links VALUES (?, ?, ?)", self.links)
        present = prepared(self.connection, links="links")
        for each in tables():
            self.connection.execute(f"CREATE OR REPLACE TABLE {each.name} AS {each.select_sql(present)}")
        self.find_again("true")

    def find_again(self, who: str) -> None:
        """Find the duplicates once more, of the rows for which that is so, in another order."""
        for each in tables():
            kept = f"SELECT * FROM {each.name} WHERE {who} ORDER BY hash(row_key)"
            self.connection.execute(f"CREATE OR REPLACE TABLE {each.name} AS {kept}")
        find(self.connection, {each.name: each.name for each in tables()})
        self.connection.execute(f"CREATE OR REPLACE TABLE duplicates AS FROM {FOUND}")

    def groups(self, person: str) -> list[set[str]]:
        """The groups of a person: of `link number/Type/id/row` each."""
        found = self.connection.execute(
            "SELECT list(row_key) FROM duplicates WHERE person_key = ? GROUP BY table_name, duplicate_group", [person]
        ).fetchall()
        return [{key.removeprefix(f"{person}-") for key in keys} for (keys,) in found]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The answer to a query."""
        return self.connection.execute(query, list(values)).fetchall()


@pytest.fixture
def lake() -> Iterator[Lake]:
    """A lake far from UTC, in which nothing is yet."""
    with duckdb.connect(config={"memory_limit": "1500MB", "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        yield Lake(connection)
