"""Published examples through check, classification and tables: each is a row, additional, or in quarantine: why."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.checking.official import examples, fetched, named
from tests.tables.raw import CHILDREN, Link, Row, read, rows_of
from tests.tables.test_independent import differing, page, staged
from transforms.checking import Checker, Owner
from transforms.checking.batches import CheckedRow, check_pages
from transforms.classification import additional, classify, tables_of
from transforms.tables import all_tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

US_CORE = Path(__file__).parents[3] / "shared" / "data" / "us-core-examples"


def through(raws: Iterable[bytes]) -> tuple[Counter[str], list[tuple[str, str]], dict[str, list[dict[str, Any]]]]:
    """Where examples of several people end: how many each way, what is additional and why, and the rows of all tables.

    What has been accepted is read as one link, since the examples point at each other.
    """
    whose: defaultdict[str, list[bytes]] = defaultdict(list)
    for raw in raws:
        if (resource := json.loads(raw))["resourceType"] != "OperationOutcome":  # it tells of a search, not of a person
            whose[named(resource)].append(raw.strip())
    ways, left, wanted, kept = Counter[str](), [], Counter[tuple[str, str]](), []
    checker = Checker()
    for patient, those in whose.items():
        rows = list(check_pages([page(those)], Owner(patient), person_key="person", link_id="link", checker=checker))
        assert len(rows) == len(set(those)), "none is lost"
        for row in rows:
            if not isinstance(row, CheckedRow):
                assert row.rules
                ways["quarantine"] += 1
                continue
            kept.append(row.resource.encode())
            resource = json.loads(row.resource)
            said = classify(resource, "direct")
            homes = tables_of(said.category, row.resource_type) if said.category else ()
            ways["row" if homes else "named" if said.category else "additional"] += 1
            for home in homes:
                parts = resource.get("component", []) if row.resource_type == "Observation" else []
                wanted[home, f"link/{row.resource_type}/{row.resource_id}"] += 1 + len(parts)
            if said.category is None:
                assert said.reason
                left.append((row.resource_type, said.rule))
    with staged([(Link("person", "link", "shore"), page(kept))]) as (connection, present):
        connection.execute("SET TimeZone = 'UTC'")
        built = {each.name: rows_as_dicts(connection, each.select_sql(present)) for each in all_tables()}
    found = Counter((name, row["resource_key"]) for name, rows in built.items() if name not in CHILDREN for row in rows)
    assert found == wanted
    return ways, left, built


def rows_as_dicts(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.execute(query).to_arrow_table().to_pylist()
    return rows


def test_every_official_example_ends_somewhere_and_its_rows_say_what_it_says(pytestconfig: pytest.Config) -> None:
    raws = list(examples(fetched(pytestconfig)))
    ways, left, built = through(raws)
    assert ways["row"] > 170
    assert sum(each.resources for each in additional(left)) == ways["additional"] > 200
    found = {(name, row["row_key"]): row for name, rows in built.items() for row in rows}
    link, resources = Link("person", "link", "shore"), [each for raw in raws for each in read(raw)]
    chosen = [each for each in resources if list(rows_of(each)) or each["resourceType"] in NAMED]
    for each in chosen:
        link.learn(each)
    compared = 0
    for each in chosen:
        for table, number in rows_of(each):
            expected = Row(link, each, table, number).expected
            assert not differing(found[table, expected["row_key"]], expected), expected["row_key"]
            compared += 1
    assert compared > 250


NAMED = frozenset(
    ["Location", "Medication", "Organization", "Practitioner", "PractitionerRole", "RelatedPerson", "Specimen"]
)


@pytest.mark.shared_data
def test_every_example_of_us_core_ends_somewhere() -> None:
    files = sorted(US_CORE.glob("*.json"))
    ways, left, _ = through(file.read_bytes() for file in files)
    assert ways.total() == len(files)
    assert ways["quarantine"] == 0
    kinds = {each.resource_type for each in additional(left)}
    assert {"CarePlan", "DiagnosticReport", "DocumentReference", "Goal"} <= kinds
    assert ways["row"] > 100
